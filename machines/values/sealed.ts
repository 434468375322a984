/**
 * The form of a secret that was sealed: encrypted where a client gave it, and opened only on the host whose guest gets
 * it. Charts, the store, histories and messages have the sealed text; what is shown is its mark, which says how many
 * bytes it has and tells one secret from another. A mark that is declared stands for the secret that is there already.
 * Sealing itself is in actors/photon/secret-seal.ts.
 *
 *     sealed:1:<bytes>:<16 characters, the mark ends here><more characters>
 */
import { z } from 'zod';

const sealedForm = /^(sealed:1:\d{1,8}:[\w-]{16})[\w-]+$/;
const markForm = /^sealed:1:\d{1,8}:[\w-]{16}$/;

export const isSealed = (text: string): boolean => sealedForm.test(text);
export const isMark = (text: string): boolean => markForm.test(text);

/** @returns the mark of a sealed text; any other text as it is */
const markOf = (text: string): string => sealedForm.exec(text)?.[1] ?? text;

/** The value with the mark in the place of each sealed text; the same value when it has none. */
export function masked<T>(value: T): T {
  if (typeof value === 'string') return markOf(value) as T;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    const items = value.map((item: unknown) => masked(item));
    return (items.some((item, at) => item !== value[at]) ? items : value) as T;
  }
  const before = Object.entries(value) as [string, unknown][];
  const after = before.map(([name, one]): [string, unknown] => [name, masked(one)]);
  return after.some(([, one], at) => one !== before[at]?.[1]) ? (Object.fromEntries(after) as T) : value;
}

/** The sealed text of this mark that is anywhere in the value; undefined when there is none. */
export function sealedBy(mark: string, value: unknown): string | undefined {
  if (typeof value === 'string') return isSealed(value) && markOf(value) === mark ? value : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  for (const one of Object.values(value)) {
    const found = sealedBy(mark, one);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A text that is kept secret, of at most so many bytes. Its kind names the field in `secrets` of its declaration. */
export const secretSchema = (mostBytes: number) =>
  z.string().refine((text) => isSealed(text) || new TextEncoder().encode(text).length <= mostBytes, {
    message: `must be at most ${mostBytes} bytes`,
  });
