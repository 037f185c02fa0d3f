/**
 * The only place that fetches. Turns HTTP into models and streams of typed events; every stream ends
 * in exactly one `done` or one thrown ApiError. Knows nothing of state or of the DOM.
 */
import {
  parseChunk, parseError, parseModels,
  type ChatRequest, type ModelInfo, type Timings, type Usage,
} from '../wire/openai';
import { SseParser } from './sse';

/**
 * Why a call failed: no answer at all, an answer that is an error, an error in mid-stream, a stream
 * that ended without its end.
 */
export type FailureKind = 'unreachable' | 'refused' | 'failed' | 'cut';

/** A failed call, with what the server said where it said anything. */
export class ApiError extends Error {
  constructor(
    readonly kind: FailureKind,
    message: string,
    readonly status: number | null = null,
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

/** What a running answer delivers. */
export type StreamEvent =
  | { readonly type: 'progress'; readonly read: number }
  | { readonly type: 'text'; readonly text: string }
  | {
      readonly type: 'done';
      readonly finish: string;
      readonly usage: Usage | null;
      readonly timings: Timings | null;
    };

async function call(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new ApiError('unreachable', String(cause));
  }
  if (response.ok) return response;
  const body = await response.text().catch(() => '');
  throw new ApiError('refused', errorText(body) ?? `HTTP ${response.status}`, response.status);
}

function errorText(body: string): string | null {
  try {
    return parseError(JSON.parse(body));
  } catch {
    return null;
  }
}

/** The models that the server can run. */
export async function listModels(signal: AbortSignal): Promise<readonly ModelInfo[]> {
  const response = await call('/v1/models', { signal });
  const models = parseModels(await response.json().catch(() => null));
  if (!models) throw new ApiError('failed', 'GET /v1/models: unexpected answer');
  return models;
}

/** Asks for an answer and yields it as it is made. Aborting the signal frees the server's work. */
export async function* streamChat(request: ChatRequest, signal: AbortSignal): AsyncGenerator<StreamEvent> {
  const response = await call('/v1/chat/completions', {
    method: 'POST',
    signal,
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify({
      ...request, stream: true, stream_options: { include_usage: true }, return_progress: true,
    }),
  });
  if (!response.body) throw new ApiError('cut', 'empty answer');
  yield* readStream(response.body.getReader(), signal);
}

type Done = Extract<StreamEvent, { type: 'done' }>;

async function* readStream(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<StreamEvent> {
  const parser = new SseParser();
  let done: Done = { type: 'done', finish: '', usage: null, timings: null };
  try {
    for (;;) {
      const { value, done: ended } = await reader.read();
      if (ended) break;
      for (const event of parser.push(value)) {
        if (event.data === '[DONE]') {
          yield done;
          return;
        }
        const json: unknown = JSON.parse(event.data);
        const error = parseError(json);
        if (error !== null) throw new ApiError('failed', error);
        const chunk = parseChunk(json);
        if (!chunk) continue;
        if (chunk.read !== null) yield { type: 'progress', read: chunk.read };
        if (chunk.text) yield { type: 'text', text: chunk.text };
        done = {
          type: 'done',
          finish: chunk.finish ?? done.finish,
          usage: chunk.usage ?? done.usage,
          timings: chunk.timings ?? done.timings,
        };
      }
    }
  } catch (cause) {
    if (signal.aborted || cause instanceof ApiError) throw cause;
    throw new ApiError('cut', String(cause));
  } finally {
    await reader.cancel().catch(() => undefined);
  }
  if (!done.finish) throw new ApiError('cut', 'the answer ended without its end');
  yield done;
}
