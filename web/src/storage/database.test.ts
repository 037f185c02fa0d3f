import 'fake-indexeddb/auto';
import { afterEach, describe, expect, it } from 'vitest';
import { after, asked, emptyState, finished, kPrefs, received } from '../state/testing';
import { changesBetween, loadAll, loadChat, openDatabase, save, touched } from './database';
import { keepUnsaved, loadDrafts, loadPrefs, saveDrafts, savePrefs, takeUnsaved } from './local';

describe('changesBetween', () => {
  const one = after(emptyState(), asked(1, null));

  it('finds exactly what changed', () => {
    const changes = changesBetween(one, after(one, received(1, 'x')));
    expect(changes.put.chats).toEqual([]);
    expect(changes.put.messages.map((m) => m.id)).toEqual(['a1']);
    expect(changes.remove).toEqual({ chats: [], messages: [] });
    expect(touched(changesBetween(one, one))).toEqual([]);
  });

  it('finds deleted conversations with their messages', () => {
    const changes = changesBetween(one, after(one, { type: 'deleted', chat: 'c' }));
    expect(changes.remove).toEqual({ chats: ['c'], messages: ['q1', 'a1'] });
    expect(touched(changes)).toEqual(['c']);
  });
});

describe('database', () => {
  it('gives back what was kept, through changes and deletes', async () => {
    const db = await openDatabase();
    const empty = emptyState();
    const one = after(empty, asked(1, null, '안녕'), received(1, '네'), finished(1));
    await save(db, changesBetween(empty, one));
    expect(await loadAll(db)).toEqual({
      chats: Object.values(one.chats), messages: Object.values(one.messages['c']!).sort((a, b) => (a.id < b.id ? -1 : 1)),
    });
    expect((await loadChat(db, 'c')).messages).toHaveLength(2);
    const gone = after(one, { type: 'deleted', chat: 'c' });
    await save(db, changesBetween(one, gone));
    expect(await loadAll(db)).toEqual({ chats: [], messages: [] });
    expect(await loadChat(db, 'c')).toEqual({ chat: null, messages: [] });
    await save(db, changesBetween(gone, after(gone, { type: 'restored' })));
    expect((await loadAll(db)).messages).toHaveLength(2);
  });
});

describe('local storage', () => {
  afterEach(() => localStorage.clear());

  it('keeps preferences and drafts', () => {
    savePrefs({ ...kPrefs, locale: 'ko', theme: 'dark', model: 'm', sidebar: false });
    expect(loadPrefs(['en'])).toEqual({ ...kPrefs, locale: 'ko', theme: 'dark', model: 'm', sidebar: false });
    saveDrafts({ '': '쓰다 만 글' });
    expect(loadDrafts()).toEqual({ '': '쓰다 만 글' });
  });

  it('hands over once what the database had no time for', () => {
    const changes = changesBetween(emptyState(), after(emptyState(), asked(1, null)));
    keepUnsaved(changes);
    expect(takeUnsaved()).toEqual(changes);
    expect(takeUnsaved()).toBeNull();
    localStorage.setItem('maru.unsaved', '{"put":{"chats":[]},"remove":7}');
    expect(takeUnsaved()).toBeNull();
  });

  it.each(['', 'null', '3', '{', '{"locale":"xx","theme":7,"model":{},"settings":null}'])(
    'takes %j for nothing kept', (text) => {
      localStorage.setItem('maru.prefs', text);
      localStorage.setItem('maru.drafts', text);
      expect(loadPrefs(['ko'])).toEqual({ ...kPrefs, locale: 'ko' });
      expect(Object.values(loadDrafts()).every((d) => typeof d === 'string')).toBe(true);
    });
});
