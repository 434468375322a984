/** Failures as charts store and send them, and comparison of JSON values. */
import { z } from 'zod';
import type { ValueOf } from './kind.ts';

/** The stored part of a failure; the runtime's error record has more fields. */
export const failureSchema = z.object({ code: z.string(), message: z.string(), retryable: z.boolean() });
export type Failure = ValueOf<typeof failureSchema>;

/** Copies only the three fields: error records of effects have causes, which do not belong into messages. */
export const failureOf = (error: Failure): Failure => ({
  code: error.code,
  message: error.message,
  retryable: error.retryable,
});

/** The runtime's answer to every effect of a fenced host. */
export const hostGone = 'host_gone';

/** Tenants read it, so it does not name the host. */
export const hostGoneFailure = (): Failure => ({
  code: hostGone,
  message: 'its host is fenced and nothing runs there; use another host, or ask an operator to bring it back',
  retryable: false,
});

export const isHostGone = (event: object): boolean =>
  'error' in event && (event.error as Failure | null)?.code === hostGone;

/** 1, 2, 4 ... 30 s after the first, second, third ... failure in a row. */
export const backoffMs = (tries: number, longestMs = 30_000): number =>
  Math.min(longestMs, 1_000 * 2 ** Math.max(0, tries - 1));

/** Structural equality of JSON values, independent of the order of keys. */
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
