import { describe, expect, it } from 'vitest';
import { fileName, toJson, toMarkdown } from './export';
import { clampTo, kRanges } from './settings';
import { after, asked, emptyState, finished, received } from './testing';
import { kTitleMax, titleFrom } from './title';
import { childrenOf, newestLeaf, pathTo, siblings } from './tree';

const grown = after(
  emptyState(), asked(1, null), received(1, 'one\n'), finished(1), asked(2, 'a1'), finished(2), asked(3, 'a1', 'other'), finished(3),
);
const tree = grown.messages['c']!;

describe('tree', () => {
  it('walks from a leaf to the root', () => {
    expect(pathTo(tree, 'a2').map((m) => m.id)).toEqual(['q1', 'a1', 'q2', 'a2']);
    expect(pathTo(tree, null)).toEqual([]);
    expect(pathTo(tree, 'unknown')).toEqual([]);
  });

  it('lists versions oldest first and follows the newest', () => {
    expect(siblings(tree, tree['q3']!).map((m) => m.id)).toEqual(['q2', 'q3']);
    expect(childrenOf(tree, null).map((m) => m.id)).toEqual(['q1']);
    expect(newestLeaf(tree, 'q1')).toBe('a3');
    expect(newestLeaf(tree, 'q2')).toBe('a2');
  });

  it('survives a circle and a missing parent', () => {
    const q = tree['q1']!;
    const circle = { x: { ...q, id: 'x', parent: 'y' }, y: { ...q, id: 'y', parent: 'x' } };
    expect(pathTo(circle, 'x')).toHaveLength(2);
    expect(['x', 'y']).toContain(newestLeaf(circle, 'x'));
    expect(pathTo({ x: { ...q, id: 'x', parent: 'gone' } }, 'x')).toHaveLength(1);
  });
});

describe('titleFrom', () => {
  it.each([
    ['Hello', 'Hello'],
    ['\n\n  ## **Bold** title\nrest', 'Bold title'],
    ['```python\nprint(1)\n```', 'print(1)'],
    ['- list item', 'list item'],
    ['해시 테이블이 어떻게 동작하나요?', '해시 테이블이 어떻게 동작하나요?'],
    ['   \n', ''],
  ])('%j -> %j', (text, title) => expect(titleFrom(text)).toBe(title));

  it('cuts at a word, and never inside a character', () => {
    const words = titleFrom('a fairly long question about something that goes on');
    expect(words).toBe('a fairly long question about something…');
    const families = titleFrom('👨‍👩‍👧'.repeat(60));
    expect([...new Intl.Segmenter().segment(families)]).toHaveLength(kTitleMax);
    expect(families.endsWith('👨‍👩‍👧…')).toBe(true);
  });
});

describe('export', () => {
  it('writes the branch in view as Markdown and the whole tree as JSON', () => {
    const chat = grown.chats['c']!;
    expect(toMarkdown({ ...chat, leaf: 'a1' }, tree, 'Me')).toBe('# question 1\n\n## Me\n\nquestion 1\n\n## m\n\none\n');
    const json = JSON.parse(toJson(chat, tree)) as { messages: unknown[]; format: string };
    expect(json.format).toBe('maru-chat');
    expect(json.messages).toHaveLength(6);
  });

  it.each([['a/b: c?', 'a b c.md'], ['../..', 'chat.md'], ['마루', '마루.md'], ['', 'chat.md']])(
    'names the file of %j %j', (title, name) => expect(fileName(title, 'md')).toBe(name));
});

describe('clampTo', () => {
  const range = Object.fromEntries(kRanges.map((r) => [r.key, r]));
  it.each([
    ['temperature', '0.7', 0.7], ['temperature', '9', 2], ['temperature', '-1', 0], ['temperature', '', null],
    ['temperature', 'abc', null], ['topP', '0', 0.05], ['maxTokens', '12.6', 13], ['seed', '1e99', Number.MAX_SAFE_INTEGER],
  ])('%s %j -> %s', (key, typed, value) => expect(clampTo(range[key]!, typed)).toBe(value));
});
