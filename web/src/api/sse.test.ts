import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { kEventCharsMax, SseParser, type SseEvent } from './sse';

function parse(...parts: Uint8Array[]): SseEvent[] {
  const parser = new SseParser();
  return parts.flatMap((p) => parser.push(p));
}

const bytes = (text: string) => new TextEncoder().encode(text);
const recorded = (name: string) => new Uint8Array(readFileSync(`tests/streams/${name}.sse`));

describe('SseParser', () => {
  it('reads fields, several data lines, comments and types', () => {
    const text = ': hello\nevent: error\ndata: a\ndata:b\nid: 7\nretry\n\ndata\n\n\ndata: left';
    expect(parse(bytes(text))).toEqual([
      { type: 'error', data: 'a\nb' },
      { type: 'message', data: '' },
    ]);
  });

  it('ends lines at LF, CR and CRLF alike', () => {
    for (const end of ['\n', '\r', '\r\n']) {
      const events = parse(bytes(['data: 1', '', 'data: 2', 'data: 3', '', ''].join(end)));
      expect(events.map((e) => e.data)).toEqual(['1', '2\n3']);
    }
  });

  it.each(['server', 'korean', 'crlf', 'error', 'length'])('gives the same events for %s split at any byte', (name) => {
    const all = recorded(name);
    const whole = parse(all);
    expect(whole.length).toBeGreaterThan(2);
    for (let at = 0; at <= all.length; ++at) {
      expect(parse(all.slice(0, at), all.slice(at))).toEqual(whole);
    }
    expect(parse(...[...all].map((b) => Uint8Array.of(b)))).toEqual(whole);
  });

  it('keeps a byte order mark and broken UTF-8 from hurting', () => {
    expect(parse(Uint8Array.of(0xef, 0xbb, 0xbf), bytes('data: x\n\n'))).toEqual([{ type: 'message', data: 'x' }]);
    const broken = parse(bytes('data: '), Uint8Array.of(0xff), bytes('\n\n'));
    expect(broken).toEqual([{ type: 'message', data: '\uFFFD' }]);
  });

  it('refuses an endless event', () => {
    const parser = new SseParser();
    const piece = bytes('x'.repeat(1 << 20));
    expect(() => {
      for (let sent = 0; sent <= kEventCharsMax; sent += piece.length) parser.push(piece);
    }).toThrow(RangeError);
  });
});
