/**
 * The one state of the page and the one union of what can happen to it. All values are immutable;
 * reduce.ts makes the next state, runtime.svelte.ts feeds it, components read it.
 */
import type { ModelInfo, Timings, Usage } from '../wire/openai';
import type { FailureKind } from '../api/client';
import type { Locale } from '../i18n';

/** How answers are sampled; null leaves a value to the server. */
export interface Settings {
  readonly system: string;
  readonly temperature: number | null;
  readonly topP: number | null;
  readonly maxTokens: number | null;
  readonly seed: number | null;
}

/** Why an answer has no (whole) text. */
export interface Failure {
  readonly kind: FailureKind;
  readonly message: string;
  readonly status: number | null;
}

/**
 * Where an answer stands. `streaming` in storage means that the page went away in the middle: only
 * State.streams says what runs now.
 */
export type Status = 'streaming' | 'done' | 'stopped' | 'length' | 'failed';

/** One message. A conversation is a tree: a message knows its parent and nothing else. */
export interface Message {
  readonly id: string;
  readonly chat: string;
  readonly parent: string | null;
  readonly role: 'user' | 'assistant';
  readonly text: string;
  readonly created: number;
  readonly model: string | null;
  readonly status: Status;
  readonly failure: Failure | null;
  readonly usage: Usage | null;
  readonly timings: Timings | null;
}

/** One conversation. `leaf` is the tip of the branch in view. */
export interface Chat {
  readonly id: string;
  readonly title: string;
  readonly created: number;
  readonly updated: number;
  readonly leaf: string | null;
  readonly settings: Settings;
}

/** The messages of one conversation by id. */
export type Messages = Readonly<Record<string, Message>>;

/** What the reader prefers, kept from visit to visit. */
export interface Prefs {
  readonly locale: Locale;
  readonly theme: 'system' | 'light' | 'dark';
  readonly model: string | null;
  readonly settings: Settings;
  readonly sidebar: boolean;
}

/** The list of models, and whether the server answers. */
export type Models =
  | { readonly status: 'loading' }
  | { readonly status: 'ready'; readonly list: readonly ModelInfo[] }
  | { readonly status: 'unreachable'; readonly list: readonly ModelInfo[] }
  | { readonly status: 'failed'; readonly message: string };

/** What lies above the conversation. */
export type Panel = 'none' | 'settings' | 'help' | 'sidebar';

/** A deleted conversation that can still be brought back. */
export interface Undo {
  readonly chat: Chat;
  readonly messages: Messages;
}

/** An answer that is being received. */
export interface Stream {
  /** The part of a long prompt that the model has read, 0 to 1; null where nothing is known of it. */
  readonly read: number | null;
}

/** Everything that the page shows. */
export interface State {
  readonly ready: boolean;
  readonly chats: Readonly<Record<string, Chat>>;
  readonly messages: Readonly<Record<string, Messages>>;
  /** The open conversation; null is a new one that has no message yet. */
  readonly active: string | null;
  /** By id, the answers that are being received by this page. */
  readonly streams: Readonly<Record<string, Stream>>;
  /** Unsent text by conversation; the empty key is the new one. */
  readonly drafts: Readonly<Record<string, string>>;
  readonly prefs: Prefs;
  readonly models: Models;
  readonly panel: Panel;
  readonly undo: Undo | null;
}

/** Everything that can happen. Ids and times come from outside, so that reduce() is pure. */
export type Event =
  | { readonly type: 'booted'; readonly chats: readonly Chat[]; readonly messages: readonly Message[]; readonly active: string | null }
  | { readonly type: 'synced'; readonly id: string; readonly chat: Chat | null; readonly messages: readonly Message[] }
  | { readonly type: 'models'; readonly models: Models }
  | { readonly type: 'opened'; readonly chat: string | null }
  | { readonly type: 'drafted'; readonly chat: string | null; readonly text: string }
  | { readonly type: 'asked'; readonly chat: string; readonly parent: string | null; readonly question: string; readonly answer: string; readonly text: string; readonly model: string; readonly now: number }
  | { readonly type: 'regenerated'; readonly chat: string; readonly parent: string; readonly answer: string; readonly model: string; readonly now: number }
  | { readonly type: 'continued'; readonly chat: string; readonly answer: string; readonly model: string }
  | { readonly type: 'progressed'; readonly answer: string; readonly read: number }
  | { readonly type: 'received'; readonly chat: string; readonly answer: string; readonly text: string }
  | { readonly type: 'finished'; readonly chat: string; readonly answer: string; readonly status: Exclude<Status, 'streaming'>; readonly failure: Failure | null; readonly usage: Usage | null; readonly timings: Timings | null; readonly now: number }
  | { readonly type: 'branch_chosen'; readonly chat: string; readonly message: string }
  | { readonly type: 'renamed'; readonly chat: string; readonly title: string }
  | { readonly type: 'deleted'; readonly chat: string }
  | { readonly type: 'restored' }
  | { readonly type: 'undo_expired' }
  | { readonly type: 'settings_changed'; readonly patch: Partial<Settings> }
  | { readonly type: 'prefs_changed'; readonly patch: Partial<Prefs> }
  | { readonly type: 'panel'; readonly panel: Panel };
