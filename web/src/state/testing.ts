/** States for tests, built by events as the page builds them. */
import { initialState, reduce } from './reduce';
import { kDefaultSettings } from './settings';
import type { Event, Prefs, State } from './types';

/** English, system theme, no choice made. */
export const kPrefs: Prefs = {
  locale: 'en', theme: 'system', model: null, settings: kDefaultSettings, sidebar: true,
};

/** A page that has loaded and found nothing. */
export function emptyState(): State {
  return reduce(initialState(kPrefs, {}), { type: 'booted', chats: [], messages: [], active: null });
}

/** The state after all events. */
export function after(state: State, ...events: Event[]): State {
  return events.reduce(reduce, state);
}

/** Asks in chat `c`: question `q<n>` and answer `a<n>` at time n. */
export function asked(n: number, parent: string | null, text = `question ${n}`): Event {
  return { type: 'asked', chat: 'c', parent, question: `q${n}`, answer: `a${n}`, text, model: 'm', now: n };
}

/** Text for answer `a<n>` of chat `c`. */
export function received(n: number, text: string): Event {
  return { type: 'received', chat: 'c', answer: `a${n}`, text };
}

/** The end of answer `a<n>` of chat `c`. */
export function finished(n: number, status: 'done' | 'stopped' | 'length' | 'failed' = 'done'): Event {
  return { type: 'finished', chat: 'c', answer: `a${n}`, status, failure: null, usage: null, timings: null, now: 100 + n };
}
