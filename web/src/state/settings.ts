/** The sampling settings: ranges, defaults, and the request that they and a branch make. */
import type { ChatRequest, WireMessage } from '../wire/openai';
import type { Message, Settings } from './types';

/** A number the reader may set, in the range that the server accepts. */
export interface Range {
  readonly key: 'temperature' | 'topP' | 'maxTokens' | 'seed';
  readonly min: number;
  readonly max: number;
  readonly step: number;
  /** Where the slider stands while the server decides. */
  readonly start: number;
}

/** In the order of the drawer. */
export const kRanges: readonly Range[] = [
  { key: 'temperature', min: 0, max: 2, step: 0.05, start: 0.8 },
  { key: 'topP', min: 0.05, max: 1, step: 0.05, start: 0.95 },
  { key: 'maxTokens', min: 1, max: 131072, step: 1, start: 1024 },
  { key: 'seed', min: 0, max: Number.MAX_SAFE_INTEGER, step: 1, start: 1 },
];

/** Everything left to the server. */
export const kDefaultSettings: Settings = {
  system: '', temperature: null, topP: null, maxTokens: null, seed: null,
};

/** A number typed by the reader, brought into its range; null where it is none. */
export function clampTo(range: Range, typed: string): number | null {
  const value = Number(typed);
  if (typed.trim() === '' || !Number.isFinite(value)) return null;
  const inside = Math.min(range.max, Math.max(range.min, value));
  return range.step === 1 ? Math.round(inside) : inside;
}

/** The request for the next turn after `path`. Answers without text are not sent. */
export function requestFor(model: string, settings: Settings, path: readonly Message[]): ChatRequest {
  const turns = path.filter((m) => m.role === 'user' || m.text !== '');
  const messages: WireMessage[] = turns.map((m) => ({ role: m.role, content: m.text }));
  if (settings.system.trim() !== '') messages.unshift({ role: 'system', content: settings.system });
  return {
    model,
    messages,
    ...(settings.temperature === null ? {} : { temperature: settings.temperature }),
    ...(settings.topP === null ? {} : { top_p: settings.topP }),
    ...(settings.maxTokens === null ? {} : { max_tokens: settings.maxTokens }),
    ...(settings.seed === null ? {} : { seed: settings.seed }),
  };
}
