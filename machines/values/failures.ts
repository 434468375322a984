/** What can go wrong, as charts speak of it, and the comparison of JSON values. */
import { z } from 'zod';
import type { ValueOf } from './kind.ts';

/** What went wrong, as charts keep and send it; the runtime's error record carries more. */
export const failureSchema = z.object({ code: z.string(), message: z.string(), retryable: z.boolean() });
export type Failure = ValueOf<typeof failureSchema>;

/**
 * Anything with the three fields, cut down to them: records of effects carry causes that do not belong into messages.
 */
export const failureOf = (error: Failure): Failure => ({
  code: error.code,
  message: error.message,
  retryable: error.retryable,
});

/** What the runtime answers to whatever is asked of a host that was fenced: nothing of it is there any more. */
export const hostGone = 'host_gone';

export const hostGoneFailure = (host: string): Failure => ({
  code: hostGone,
  message: `host ${host} was fenced, and what was there with it; use another one, or bring that host back`,
  retryable: false,
});

export const isHostGone = (event: object): boolean =>
  'error' in event && (event.error as Failure | null)?.code === hostGone;

/** 1, 2, 4 ... 30 s after the first, second, third ... failure in a row. */
export const backoffMs = (tries: number): number => Math.min(30_000, 1_000 * 2 ** Math.max(0, tries - 1));

/** Structural equality of JSON values, blind to the order of keys. */
export function sameJson(a: unknown, b: unknown): boolean {
  return canonicalJson(a) === canonicalJson(b);
}

export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null';
  const fields = Object.entries(value).filter(([, v]) => v !== undefined);
  fields.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([k, v]) => `${JSON.stringify(k)}:${canonicalJson(v)}`).join(',')}}`;
}

/** Issues for every field that differs, for `exists_differently`. */
export function differences(stored: object, wanted: object): { path: string; message: string }[] {
  const keys = [...new Set([...Object.keys(stored), ...Object.keys(wanted)])].sort();
  const field = (from: object, key: string): unknown => (from as Record<string, unknown>)[key];
  return keys
    .filter((key) => !sameJson(field(stored, key) ?? null, field(wanted, key) ?? null))
    .map((key) => ({ path: key, message: `is ${canonicalJson(field(stored, key) ?? null)} and cannot be changed` }));
}
