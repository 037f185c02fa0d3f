/**
 * reduce(state, event): all logic of the page, pure. A recorded list of events replays as a test.
 * Unknown ids are ignored: an event may arrive after its conversation was deleted.
 */
import { kDefaultSettings } from './settings';
import { titleFrom } from './title';
import { newestLeaf } from './tree';
import type { Chat, Event, Message, Messages, Prefs, State } from './types';

/** The state before anything was loaded. */
export function initialState(prefs: Prefs, drafts: Readonly<Record<string, string>>): State {
  return {
    ready: false, chats: {}, messages: {}, active: null, streams: {}, drafts, prefs,
    models: { status: 'loading' }, panel: 'none', undo: null,
  };
}

/** The state after `event`. */
export function reduce(state: State, event: Event): State {
  switch (event.type) {
    case 'booted': {
      const chats = Object.fromEntries(event.chats.map((c) => [c.id, c]));
      const active = event.active !== null && event.active in chats ? event.active : null;
      return { ...state, ready: true, chats, messages: grouped(event.messages), active };
    }
    case 'synced':
      return synced(state, event);
    case 'models':
      return { ...state, models: event.models };
    case 'opened':
      return { ...state, active: event.chat, panel: state.panel === 'sidebar' ? 'none' : state.panel };
    case 'drafted':
      return { ...state, drafts: without(state.drafts, event.chat ?? '', event.text) };
    case 'asked':
      return asked(state, event);
    case 'regenerated': {
      const chat = state.chats[event.chat];
      if (!chat) return state;
      const answer = answerTo(event.parent, event.answer, event);
      return started(withMessages(state, { ...chat, leaf: answer.id, updated: event.now }, [answer]), answer.id);
    }
    case 'continued':
      return started(
        changed(state, event.chat, event.answer, (m) => ({ ...m, status: 'streaming', failure: null })),
        event.answer,
      );
    case 'progressed':
      if (!(event.answer in state.streams)) return state;
      return { ...state, streams: { ...state.streams, [event.answer]: { read: event.read } } };
    case 'received':
      return changed(state, event.chat, event.answer, (m) => ({ ...m, text: m.text + event.text }));
    case 'finished':
      return finished(state, event);
    case 'branch_chosen':
      return chatChanged(state, event.chat, (c) => ({
        ...c, leaf: newestLeaf(state.messages[c.id] ?? {}, event.message),
      }));
    case 'renamed': {
      const title = event.title.trim();
      return title === '' ? state : chatChanged(state, event.chat, (c) => ({ ...c, title }));
    }
    case 'deleted':
      return deleted(state, event.chat);
    case 'restored': {
      if (!state.undo) return state;
      const { chat, messages } = state.undo;
      return {
        ...state,
        chats: { ...state.chats, [chat.id]: chat },
        messages: { ...state.messages, [chat.id]: messages },
        active: chat.id,
        undo: null,
      };
    }
    case 'undo_expired':
      return state.undo ? { ...state, undo: null } : state;
    case 'settings_changed': {
      const prefs = { ...state.prefs, settings: { ...state.prefs.settings, ...event.patch } };
      if (state.active === null) return { ...state, prefs };
      return chatChanged(state, state.active, (c) => ({ ...c, settings: { ...c.settings, ...event.patch } }));
    }
    case 'prefs_changed':
      return { ...state, prefs: { ...state.prefs, ...event.patch } };
    case 'panel':
      return { ...state, panel: event.panel };
  }
}

type Of<T extends Event['type']> = Extract<Event, { type: T }>;

function asked(state: State, event: Of<'asked'>): State {
  const question: Message = {
    id: event.question, chat: event.chat, parent: event.parent, role: 'user', text: event.text,
    created: event.now, model: null, status: 'done', failure: null, usage: null, timings: null,
  };
  const answer = answerTo(question.id, event.answer, event);
  const chat: Chat = state.chats[event.chat] ?? {
    id: event.chat, title: titleFrom(event.text), created: event.now, updated: event.now, leaf: null,
    settings: state.prefs.settings,
  };
  const isNew = !(chat.id in state.chats);
  const next = withMessages(state, { ...chat, leaf: answer.id, updated: event.now }, [question, answer]);
  const active = isNew && state.active === null ? chat.id : state.active;
  // Settings made for a new conversation go with it; the next one starts clean.
  const prefs = isNew ? { ...state.prefs, settings: kDefaultSettings } : state.prefs;
  return started({ ...next, active, prefs }, answer.id);
}

function answerTo(
  parent: string, id: string, event: { readonly chat: string; readonly model: string; readonly now: number },
): Message {
  return {
    id, chat: event.chat, parent, role: 'assistant', text: '', created: event.now, model: event.model,
    status: 'streaming', failure: null, usage: null, timings: null,
  };
}

function finished(state: State, event: Of<'finished'>): State {
  const { [event.answer]: _, ...streams } = state.streams;
  const next = changed({ ...state, streams }, event.chat, event.answer, (m) => ({
    ...m, status: event.status, failure: event.failure, usage: event.usage, timings: event.timings,
  }));
  return chatChanged(next, event.chat, (c) => ({ ...c, updated: event.now }));
}

function deleted(state: State, id: string): State {
  const { [id]: chat, ...chats } = state.chats;
  if (!chat) return state;
  const { [id]: messages = {}, ...rest } = state.messages;
  return {
    ...state, chats, messages: rest, drafts: without(state.drafts, id, ''),
    active: state.active === id ? null : state.active,
    undo: { chat, messages },
  };
}

// Another page changed a conversation. What this page is receiving itself wins over what was stored.
function synced(state: State, event: Of<'synced'>): State {
  const { [event.id]: own = {}, ...messages } = state.messages;
  if (Object.keys(own).some((id) => id in state.streams)) return state;
  const { [event.id]: known, ...chats } = state.chats;
  if (!event.chat) return { ...state, chats, messages, active: state.active === event.id ? null : state.active };
  // Each page keeps its own branch in view as long as that branch exists.
  const stored = Object.fromEntries(event.messages.map((m) => [m.id, m]));
  const leaf = known?.leaf && known.leaf in stored && state.active === event.id ? newestLeaf(stored, known.leaf) : event.chat.leaf;
  return {
    ...state,
    chats: { ...chats, [event.id]: { ...event.chat, leaf } },
    messages: { ...messages, [event.id]: stored },
  };
}

function started(state: State, answer: string): State {
  return { ...state, streams: { ...state.streams, [answer]: { read: null } } };
}

function withMessages(state: State, chat: Chat, added: readonly Message[]): State {
  const messages = { ...state.messages[chat.id], ...Object.fromEntries(added.map((m) => [m.id, m])) };
  return {
    ...state,
    chats: { ...state.chats, [chat.id]: chat },
    messages: { ...state.messages, [chat.id]: messages },
  };
}

function changed(state: State, chat: string, id: string, change: (m: Message) => Message): State {
  const messages = state.messages[chat];
  const message = messages?.[id];
  if (!messages || !message) return state;
  return { ...state, messages: { ...state.messages, [chat]: { ...messages, [id]: change(message) } } };
}

function chatChanged(state: State, id: string, change: (c: Chat) => Chat): State {
  const chat = state.chats[id];
  return chat ? { ...state, chats: { ...state.chats, [id]: change(chat) } } : state;
}

function grouped(messages: readonly Message[]): Record<string, Messages> {
  const groups: Record<string, Record<string, Message>> = {};
  for (const m of messages) (groups[m.chat] ??= {})[m.id] = m;
  return groups;
}

function without(record: Readonly<Record<string, string>>, key: string, text: string): Record<string, string> {
  const { [key]: _, ...rest } = record;
  return text === '' ? rest : { ...rest, [key]: text };
}
