/** Derived values that several components read. Pure. */
import type { ModelInfo } from '../wire/openai';
import { kDefaultSettings } from './settings';
import { pathTo } from './tree';
import type { Chat, Message, Settings, State } from './types';

const kNone: readonly Message[] = [];

/** The branch in view, first message first. */
export function activePath(state: State): readonly Message[] {
  const chat = activeChat(state);
  return chat ? pathTo(state.messages[chat.id] ?? {}, chat.leaf) : kNone;
}

/** The open conversation, if it has begun. */
export function activeChat(state: State): Chat | null {
  return state.active === null ? null : (state.chats[state.active] ?? null);
}

/** What the settings drawer edits: those of the open conversation, or of the next new one. */
export function activeSettings(state: State): Settings {
  return activeChat(state)?.settings ?? state.prefs.settings;
}

/** Whether settings differ from what a new conversation starts with. */
export function isChanged(settings: Settings): boolean {
  return (Object.keys(kDefaultSettings) as (keyof Settings)[]).some((k) => settings[k] !== kDefaultSettings[k]);
}

/** The answer that this page is receiving for the open conversation's branch, or null. */
export function activeStream(state: State): Message | null {
  const last = activePath(state).at(-1);
  return last && last.id in state.streams ? last : null;
}

/** Conversations in which an answer is being received. */
export function busyChats(state: State): ReadonlySet<string> {
  const busy = new Set<string>();
  for (const [chat, messages] of Object.entries(state.messages)) {
    if (Object.keys(state.streams).some((id) => id in messages)) busy.add(chat);
  }
  return busy;
}

/** All models known, whether or not the server answers just now. */
export function modelList(state: State): readonly ModelInfo[] {
  return 'list' in state.models ? state.models.list : [];
}

/** The model that the next question goes to: the chosen one where it still exists, else the first that chats. */
export function currentModel(state: State): ModelInfo | null {
  const chats = modelList(state).filter((m) => m.kind === 'chat');
  return chats.find((m) => m.id === state.prefs.model) ?? chats[0] ?? null;
}

/** Conversations whose title or text has all words of the query, last used first. */
export function searchChats(state: State, query: string): readonly Chat[] {
  const words = fold(query).split(/\s+/).filter((w) => w !== '');
  return Object.values(state.chats)
    .filter((chat) => {
      if (words.length === 0) return true;
      const texts = Object.values(state.messages[chat.id] ?? {}).map((m) => m.text);
      const all = fold([chat.title, ...texts].join('\n'));
      return words.every((w) => all.includes(w));
    })
    .sort((a, b) => b.updated - a.updated || (a.id < b.id ? 1 : -1));
}

function fold(text: string): string {
  return text.normalize('NFC').toLowerCase();
}
