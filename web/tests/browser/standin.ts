/**
 * A server whose every byte the test decides: it serves the built page and hands each question to the
 * test as a Turn. It exists for what a real engine can't be made to do at a given moment: to pause
 * between two words, to cut a stream, to be gone. What an engine can do is tested in real.test.ts.
 */
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const kDist = fileURLToPath(new URL('../../dist', import.meta.url));
const kTypes: Record<string, string> = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml',
};

/** The policy that the page must live with. */
export const kPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
  + "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** A chat, a base and an embedding model as `GET /v1/models` lists them. */
export const kModels = [
  { id: 'smollm2:135m', object: 'model', context_length: 8192, meta: { n_params: 134515008, size: 144811456, kind: 'chat', license: 'Apache-2.0' } },
  { id: 'qwen2.5-coder:1.5b', object: 'model', context_length: 32768, meta: { n_params: 1543714304, size: 1646573056, kind: 'chat', license: 'Apache-2.0' } },
  { id: 'gemma3:270m', object: 'model', context_length: 32768, meta: { n_params: 268098176, size: 291554560, kind: 'base', license: 'Gemma' } },
];

/** The body of one question, as received. */
export interface Asked {
  readonly model: string;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly [option: string]: unknown;
}

/** One question, to be answered by the test. */
export class Turn {
  /** Resolves when the page has gone away from this answer. */
  readonly gone: Promise<void>;

  constructor(
    readonly asked: Asked,
    private readonly response: ServerResponse,
  ) {
    this.gone = new Promise((resolve) => response.on('close', () => resolve()));
  }

  /** Says how much of the prompt is evaluated. */
  read(processed: number, total: number): void {
    this.send({ choices: [{ index: 0, delta: {}, finish_reason: null }], prompt_progress: { total, cache: 0, processed, time_ms: 1 } });
  }

  /** Streams one piece of text. */
  say(text: string): void {
    this.send({ choices: [{ index: 0, delta: { content: text }, finish_reason: null }] });
  }

  /** Ends the answer as the server does: reason, usage, timings, [DONE]. */
  end(finish = 'stop'): void {
    this.send({ choices: [{ index: 0, delta: {}, finish_reason: finish }] });
    this.send({
      choices: [],
      usage: { prompt_tokens: 21, completion_tokens: 118, total_tokens: 139 },
      timings: { prompt_n: 21, prompt_ms: 180, predicted_n: 118, predicted_ms: 3025, predicted_per_second: 39.008 },
    });
    this.response.end('data: [DONE]\n\n');
  }

  /** An error in mid-stream. */
  fail(message: string): void {
    this.send({ error: { message, type: 'server_error' } });
    this.response.end();
  }

  /** Breaks the connection. */
  cut(): void {
    this.response.destroy();
  }

  /** Refuses the question. */
  refuse(status: number, message: string): void {
    this.response.writeHead(status, { 'content-type': 'application/json' });
    this.response.end(JSON.stringify({ error: { message, type: 'invalid_request_error' } }));
  }

  private send(json: object): void {
    if (!this.response.headersSent) this.response.writeHead(200, { 'content-type': 'text/event-stream' });
    this.response.write(`data: ${JSON.stringify({ object: 'chat.completion.chunk', ...json })}\n\n`);
  }
}

/** The server; one per test file. */
export class StandIn {
  models: readonly object[] = kModels;
  private server: Server | null = null;
  private port = 0;
  private turns: Turn[] = [];
  private wanted: ((turn: Turn) => void)[] = [];

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts listening, at the same port as before if it was stopped. */
  async start(): Promise<void> {
    this.server = createServer((request, response) => void this.serve(request, response));
    await new Promise<void>((resolve) => this.server!.listen(this.port, '127.0.0.1', resolve));
    this.port = (this.server.address() as AddressInfo).port;
  }

  /** Goes away with all its connections. */
  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.server!.close(resolve));
    this.server!.closeAllConnections();
    await closed;
  }

  /** The next question asked, now or later. */
  turn(): Promise<Turn> {
    const turn = this.turns.shift();
    return turn ? Promise.resolve(turn) : new Promise((resolve) => this.wanted.push(resolve));
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? '/', this.url).pathname;
    if (path === '/v1/models') {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ object: 'list', data: this.models }));
    } else if (path === '/v1/chat/completions') {
      const body: Buffer[] = [];
      for await (const bytes of request) body.push(bytes as Buffer);
      const turn = new Turn(JSON.parse(Buffer.concat(body).toString()) as Asked, response);
      const wanted = this.wanted.shift();
      if (wanted) wanted(turn);
      else this.turns.push(turn);
    } else {
      await this.file(path === '/' ? '/index.html' : path, response);
    }
  }

  private async file(path: string, response: ServerResponse): Promise<void> {
    try {
      const bytes = await readFile(join(kDist, normalize(path)));
      response.writeHead(200, { 'content-type': kTypes[extname(path)] ?? 'application/octet-stream', 'content-security-policy': kPolicy });
      response.end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  }
}
