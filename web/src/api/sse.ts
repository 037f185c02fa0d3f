/**
 * Server-sent events from bytes, split anywhere. Called by the API client only; pure but for its own
 * buffer. Source: WHATWG HTML, section 9.2.6 (event stream interpretation).
 */

/** One dispatched event. */
export interface SseEvent {
  readonly type: string;
  readonly data: string;
}

/** An event longer than this ends the stream with an error instead of filling the memory. */
export const kEventCharsMax = 4 << 20;

/** Collects bytes and hands out the events that they complete. */
export class SseParser {
  private readonly decoder = new TextDecoder('utf-8');
  private line = '';
  private data: string[] = [];
  private size = 0;
  private type = '';
  private afterCr = false;

  /** Adds bytes and returns the events that are now complete, in order. */
  push(bytes: Uint8Array): SseEvent[] {
    const text = this.decoder.decode(bytes, { stream: true });
    const events: SseEvent[] = [];
    let start = 0;
    for (let i = 0; i < text.length; ++i) {
      const c = text.charCodeAt(i);
      if (c === 10 && this.afterCr) {
        // The second half of CRLF: its line has already ended.
        this.afterCr = false;
        start = i + 1;
        continue;
      }
      this.afterCr = c === 13;
      if (c !== 10 && c !== 13) continue;
      this.endLine(this.line + text.slice(start, i), events);
      this.line = '';
      start = i + 1;
    }
    this.line += text.slice(start);
    if (this.line.length + this.size > kEventCharsMax) throw new RangeError('event too long');
    return events;
  }

  private endLine(line: string, events: SseEvent[]): void {
    if (line === '') {
      if (this.data.length > 0) events.push({ type: this.type || 'message', data: this.data.join('\n') });
      this.data = [];
      this.size = 0;
      this.type = '';
      return;
    }
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'event') this.type = value;
    if (name === 'data') {
      this.data.push(value);
      this.size += value.length;
    }
  }
}
