/**
 * The wire types of the OpenAI-shaped API that the page speaks, and the checks that turn unknown
 * JSON into them. Mirrors src/serve; both sides are tested on recorded streams.
 * Knows nothing of fetch, of state or of the DOM.
 */

/** What a model is for; only `chat` models can be chosen on the page. */
export type ModelKind = 'chat' | 'base' | 'embedding';

/** One row of `GET /v1/models`. */
export interface ModelInfo {
  readonly id: string;
  readonly kind: ModelKind;
  readonly params: number | null;
  readonly bytes: number | null;
  readonly context: number | null;
  readonly license: string | null;
}

/** Tokens of one answer, as counted by the engine. */
export interface Usage {
  readonly prompt: number;
  readonly completion: number;
}

/** How long one answer took, in milliseconds, as measured by the engine. */
export interface Timings {
  readonly promptMs: number;
  readonly predictedMs: number;
  readonly perSecond: number;
}

/** One role and text of a conversation as sent. */
export interface WireMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** The body of `POST /v1/chat/completions`. */
export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly WireMessage[];
  readonly temperature?: number;
  readonly top_p?: number;
  readonly max_tokens?: number;
  readonly seed?: number;
  /** The answer goes on with the last message, which is the assistant's. */
  readonly continue_final_message?: boolean;
}

/** One decoded `data:` payload of a stream: any of its parts may be absent. */
export interface ChatChunk {
  /** The part of the prompt that is evaluated, 0 to 1. */
  readonly read: number | null;
  readonly text: string;
  readonly finish: string | null;
  readonly usage: Usage | null;
  readonly timings: Timings | null;
}

type Fields = Record<string, unknown>;

function fields(value: unknown): Fields | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

function finite(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

/** The message inside an `{"error": ...}` body, or null where there is none. */
export function parseError(json: unknown): string | null {
  const error = fields(json)?.['error'];
  if (typeof error === 'string') return error;
  const inner = fields(error);
  return inner ? (text(inner['message']) ?? 'unknown error') : null;
}

/** Reads one stream payload; null where it is not a chat chunk. */
export function parseChunk(json: unknown): ChatChunk | null {
  const chunk = fields(json);
  const choices = chunk?.['choices'];
  if (!chunk || !Array.isArray(choices)) return null;
  const choice = fields(choices[0]);
  return {
    read: parseProgress(chunk['prompt_progress']),
    text: text(fields(choice?.['delta'])?.['content']) ?? '',
    finish: text(choice?.['finish_reason']),
    usage: parseUsage(chunk['usage']),
    timings: parseTimings(chunk['timings']),
  };
}

function parseProgress(json: unknown): number | null {
  const progress = fields(json);
  const total = finite(progress?.['total']);
  const processed = finite(progress?.['processed']);
  return total === null || processed === null || total <= 0 ? null : Math.min(1, Math.max(0, processed / total));
}

function parseUsage(json: unknown): Usage | null {
  const usage = fields(json);
  const prompt = finite(usage?.['prompt_tokens']);
  const completion = finite(usage?.['completion_tokens']);
  return prompt === null || completion === null ? null : { prompt, completion };
}

function parseTimings(json: unknown): Timings | null {
  const timings = fields(json);
  const promptMs = finite(timings?.['prompt_ms']);
  const predictedMs = finite(timings?.['predicted_ms']);
  const perSecond = finite(timings?.['predicted_per_second']);
  return promptMs === null || predictedMs === null || perSecond === null
    ? null
    : { promptMs, predictedMs, perSecond };
}

/** Reads the answer of `GET /v1/models`; null where it has another shape. Bad rows are left out. */
export function parseModels(json: unknown): readonly ModelInfo[] | null {
  const data = fields(json)?.['data'];
  return Array.isArray(data) ? data.map(parseModel).filter((m) => m !== null) : null;
}

function parseModel(json: unknown): ModelInfo | null {
  const row = fields(json);
  const id = text(row?.['id']);
  if (!row || !id) return null;
  const meta = fields(row['meta']) ?? {};
  const kind = meta['kind'];
  return {
    id,
    kind: kind === 'base' || kind === 'embedding' ? kind : 'chat',
    params: finite(meta['n_params']),
    bytes: finite(meta['size']),
    context: finite(row['context_length']),
    license: text(meta['license']) || null,
  };
}
