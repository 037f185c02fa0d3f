import { describe, expect, it } from 'vitest';
import { initialState, reduce } from './reduce';
import { activePath, activeStream, busyChats, currentModel, searchChats } from './select';
import { kDefaultSettings, requestFor } from './settings';
import { after, asked, emptyState, finished, kPrefs, received } from './testing';
import type { Event, State } from './types';

const ids = (state: State) => activePath(state).map((m) => m.id);

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}

describe('reduce', () => {
  it('begins a conversation with the first question', () => {
    const state = after(emptyState(), asked(1, null, '# Hello **there**\nmore'));
    expect(state.active).toBe('c');
    expect(state.chats['c']).toMatchObject({ title: 'Hello there', leaf: 'a1', created: 1 });
    expect(ids(state)).toEqual(['q1', 'a1']);
    expect(activeStream(state)?.id).toBe('a1');
  });

  it('collects text and ends the answer', () => {
    const state = after(emptyState(), asked(1, null), received(1, '안녕'), received(1, '하세요'), finished(1));
    expect(state.messages['c']!['a1']).toMatchObject({ text: '안녕하세요', status: 'done' });
    expect(activeStream(state)).toBeNull();
  });

  it('keeps all versions when answering again and when editing', () => {
    let state = after(emptyState(), asked(1, null), finished(1), asked(2, 'a1'), finished(2));
    state = after(state, { type: 'regenerated', chat: 'c', parent: 'q1', answer: 'b', model: 'm', now: 5 });
    expect(ids(state)).toEqual(['q1', 'b']);
    state = after(state, { type: 'branch_chosen', chat: 'c', message: 'a1' });
    expect(ids(state)).toEqual(['q1', 'a1', 'q2', 'a2']);
    state = after(state, asked(7, null, 'edited'));
    expect(ids(state)).toEqual(['q7', 'a7']);
    expect(Object.keys(state.messages['c']!)).toHaveLength(7);
    expect(state.chats['c']!.title).toBe('question 1');
  });

  it('lets answers of several conversations run side by side', () => {
    const other: Event = { type: 'asked', chat: 'd', parent: null, question: 'dq', answer: 'da', text: 'x', model: 'm', now: 9 };
    let state = after(emptyState(), asked(1, null), { type: 'opened', chat: null }, other);
    expect([...busyChats(state)].sort()).toEqual(['c', 'd']);
    state = after(state, received(1, 'one'), { type: 'received', chat: 'd', answer: 'da', text: 'two' }, finished(1));
    expect(state.active).toBe('d');
    expect([...busyChats(state)]).toEqual(['d']);
    expect(state.messages['c']!['a1']!.text).toBe('one');
    expect(state.messages['d']!['da']!.text).toBe('two');
  });

  it('does not open a conversation that began while the reader went elsewhere', () => {
    let state = after(emptyState(), asked(1, null), finished(1));
    const other: Event = { type: 'asked', chat: 'd', parent: null, question: 'dq', answer: 'da', text: 'x', model: 'm', now: 9 };
    state = after(state, other);
    expect(state.active).toBe('c');
  });

  it('deletes, brings back and forgets', () => {
    const before = after(emptyState(), asked(1, null), finished(1), { type: 'drafted', chat: 'c', text: 'half' });
    const gone = after(before, { type: 'deleted', chat: 'c' });
    expect(gone).toMatchObject({ active: null, chats: {}, messages: {}, drafts: {} });
    const back = after(gone, { type: 'restored' });
    expect(back.chats).toEqual(before.chats);
    expect(back.messages).toEqual(before.messages);
    expect(back.active).toBe('c');
    expect(after(gone, { type: 'undo_expired' }, { type: 'restored' }).chats).toEqual({});
  });

  it('knows how much of a prompt is read until the answer ends', () => {
    const state = after(emptyState(), asked(1, null), { type: 'progressed', answer: 'a1', read: 0.5 });
    expect(state.streams).toEqual({ a1: { read: 0.5 } });
    const ended = after(state, finished(1), { type: 'progressed', answer: 'a1', read: 0.9 });
    expect(ended.streams).toEqual({});
  });

  it('ignores what arrives for something that is gone', () => {
    const state = after(emptyState(), asked(1, null), { type: 'deleted', chat: 'c' });
    const late = after(state, received(1, 'x'), finished(1), { type: 'renamed', chat: 'c', title: 'y' });
    expect(late.messages).toEqual({});
    expect(late.chats).toEqual({});
    expect(late.streams).toEqual({});
  });

  it('gives settings to the open conversation, or to the next one only', () => {
    let state = after(emptyState(), { type: 'settings_changed', patch: { system: 'Be brief.', temperature: 0 } });
    state = after(state, asked(1, null), finished(1));
    expect(state.chats['c']!.settings).toMatchObject({ system: 'Be brief.', temperature: 0 });
    expect(state.prefs.settings).toEqual(kDefaultSettings);
    state = after(state, { type: 'settings_changed', patch: { seed: 7 } });
    expect(state.chats['c']!.settings.seed).toBe(7);
    expect(state.prefs.settings.seed).toBeNull();
  });

  it('takes over another page\'s change, but not into a running answer', () => {
    const mine = after(emptyState(), asked(1, null), received(1, 'mine'));
    const stored = after(mine, finished(1)).messages['c']!;
    const event: Event = { type: 'synced', id: 'c', chat: { ...mine.chats['c']!, title: 'theirs' }, messages: Object.values(stored) };
    expect(reduce(mine, event)).toBe(mine);
    const done = after(mine, finished(1));
    expect(reduce(done, event).chats['c']!.title).toBe('theirs');
    expect(reduce(done, { ...event, chat: null, messages: [] })).toMatchObject({ active: null, chats: {} });
  });

  it('keeps the branch in view when another page looks at another branch', () => {
    let mine = after(emptyState(), asked(1, null), finished(1));
    const theirs = after(mine, { type: 'regenerated', chat: 'c', parent: 'q1', answer: 'b', model: 'm', now: 9 });
    mine = reduce(mine, { type: 'synced', id: 'c', chat: theirs.chats['c']!, messages: Object.values(theirs.messages['c']!) });
    expect(ids(mine)).toEqual(['q1', 'a1']);
  });

  it('continues an answer where it ended', () => {
    let state = after(emptyState(), asked(1, null), received(1, 'one'), finished(1, 'length'));
    state = after(state, { type: 'continued', chat: 'c', answer: 'a1', model: 'm' }, received(1, ' two'), finished(1));
    expect(state.messages['c']!['a1']).toMatchObject({ text: 'one two', status: 'done' });
  });

  it('never changes a state that was handed out', () => {
    const events: Event[] = [
      { type: 'drafted', chat: null, text: 'd' }, asked(1, null), received(1, 'x'), finished(1, 'stopped'),
      { type: 'regenerated', chat: 'c', parent: 'q1', answer: 'b', model: 'm', now: 3 },
      { type: 'branch_chosen', chat: 'c', message: 'a1' }, { type: 'renamed', chat: 'c', title: ' t ' },
      { type: 'settings_changed', patch: { topP: 0.5 } }, { type: 'prefs_changed', patch: { theme: 'dark' } },
      { type: 'models', models: { status: 'ready', list: [] } }, { type: 'panel', panel: 'help' },
      { type: 'deleted', chat: 'c' }, { type: 'restored' }, { type: 'opened', chat: null },
    ];
    let state = deepFreeze(emptyState());
    for (const event of events) state = deepFreeze(reduce(state, event));
    expect(state.chats['c']!.title).toBe('t');
  });
});

describe('selectors', () => {
  it('fall back to the first model that chats', () => {
    const info = (id: string, kind: 'chat' | 'base') => ({ id, kind, params: null, bytes: null, context: null, license: null });
    const list = [info('base', 'base'), info('one', 'chat'), info('two', 'chat')];
    const pick = (model: string | null) =>
      currentModel({ ...initialState({ ...kPrefs, model }, {}), models: { status: 'ready', list } })?.id;
    expect([pick(null), pick('two'), pick('base'), pick('gone')]).toEqual(['one', 'two', 'one', 'one']);
  });

  it('find conversations by all words of title and text, composed or not', () => {
    const state = after(emptyState(), asked(1, null, 'Hash tables'), received(1, '마루는 나무 바닥입니다'), finished(1));
    const found = (query: string) => searchChats(state, query).length;
    expect(['', 'HASH', '나무 hash', '마루'.normalize('NFD')].map(found)).toEqual([1, 1, 1, 1]);
    expect(['nothing', 'hash none'].map(found)).toEqual([0, 0]);
  });

  it('make a request of instructions, turns and the settings that are set', () => {
    const state = after(emptyState(), asked(1, null, 'one'), finished(1, 'failed'), asked(2, 'a1', 'two'));
    const path = activePath(state).slice(0, -1);
    expect(requestFor('m', { ...kDefaultSettings, system: 'Be brief.', temperature: 0, maxTokens: 9 }, path)).toEqual({
      model: 'm', temperature: 0, max_tokens: 9,
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'one' },
        { role: 'user', content: 'two' },
      ],
    });
  });
});
