/**
 * What an effect came to. Three results, never two: a timeout is `unknown`, not `failed`.
 * The host turns an outcome into the event `<effect>.<done|failed|unknown>` with the payload's fields on it.
 */
import type { ErrorRecord } from './errors.ts';

export type EffectOutcome =
  | { readonly result: 'done'; readonly payload: Readonly<Record<string, unknown>> }
  | { readonly result: 'failed'; readonly error: ErrorRecord }
  | { readonly result: 'unknown'; readonly error: ErrorRecord };

export const done = (payload: Readonly<Record<string, unknown>> = {}): EffectOutcome => ({ result: 'done', payload });
