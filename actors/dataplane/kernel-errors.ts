/**
 * Translates messages of programs and errors of system calls into PhotonErrors. A noun's own table (`tap-errors.ts`,
 * `overlay-errors.ts`, ...) is tried before the table here, which all nouns share.
 * Called by everything in the dataplane that runs a program. Promise: a message that no table knows becomes a fault
 * that contains it; a time-out stays `unknown`.
 */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { ErrorGroup } from '@photoncloud/runtime/contract/errors';

export interface ErrorRule {
  /** Matched against stderr, an errno name, or both joined by a space. */
  readonly matches: RegExp;
  readonly group: ErrorGroup;
  readonly code: string;
  /** One sentence: what to do next. */
  readonly advice: string;
}

const sharedRules: readonly ErrorRule[] = [
  {
    matches: /VNI already exists|specified VNI/i,
    group: 'fault',
    code: 'vni_busy',
    advice: 'An older segment with this VNI is still being removed; try again shortly.',
  },
  {
    matches: /EBUSY|resource busy|RTNETLINK answers: File exists|already exists|EEXIST/i,
    group: 'fault',
    code: 'kernel_busy',
    advice: 'Something else uses it; observe it and try again.',
  },
  {
    matches: /ENOSPC|No space left/i,
    group: 'fault',
    code: 'storage_full',
    advice: 'Free space on the host, then try again.',
  },
  {
    matches:
      /ENOMEM|EMFILE|ENFILE|ENOBUFS|EAGAIN|Cannot allocate memory|Too many open files|No buffer space|temporarily/i,
    group: 'fault',
    code: 'kernel_exhausted',
    advice: 'The host is short of memory or descriptors; try again later.',
  },
  {
    matches: /EPERM|EACCES|Operation not permitted|Permission denied/i,
    group: 'defeat',
    code: 'not_permitted',
    advice: 'The worker lacks a capability it needs; run it as root or with CAP_NET_ADMIN.',
  },
  {
    matches: /ENODEV|Cannot find device|No such device|does not exist|Cannot open network namespace|ENXIO/i,
    group: 'fault',
    code: 'device_missing',
    advice: 'The device no longer exists; ensure it again.',
  },
  {
    matches: /EINVAL|Invalid argument|Numerical result out of range|not supported|Unknown device type|EOPNOTSUPP/i,
    group: 'defeat',
    code: 'kernel_refused',
    advice: 'This kernel does not support it; an operator must look at the host.',
  },
];

/**
 * @param what the attempted action and its object: `creating tap pa1pxyz for binding/acme/web@w1`
 * @param text stderr or `error.code + message`
 */
export function kernelError(
  what: string,
  text: string,
  rules: readonly ErrorRule[] = [],
  cause?: unknown,
): PhotonError {
  const message = plainWords(text);
  const rule = [...rules, ...sharedRules].find((candidate) => candidate.matches.test(message));
  const options = cause === undefined ? {} : { cause };
  if (rule === undefined)
    return new PhotonError('fault', 'kernel_failed', `${what} failed: ${message || 'no reason given'}`, options);
  return new PhotonError(rule.group, rule.code, `${what} failed: ${message}. ${rule.advice}`, options);
}

const wordsLimit = 400;

/**
 * A program's words on one line, without characters that change how a terminal or a page shows the rest (control,
 * bidirectional, invisible), and bounded: of a long text the beginning and the end are kept, where the reason is.
 */
export function plainWords(text: string): string {
  const words = text
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim();
  if (words.length <= wordsLimit) return words;
  return `${words.slice(0, 150)} ... ${words.slice(150 + 5 - wordsLimit)}`;
}

/** An errno of node:fs as text for the tables: `ENOENT: no such file or directory, open '...'`. */
export function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** The PhotonError of a file system call that failed. A PhotonError is returned unchanged. */
export function fileError(what: string, error: unknown, rules: readonly ErrorRule[] = []): PhotonError {
  if (error instanceof PhotonError) return error;
  return kernelError(what, error instanceof Error ? `${errnoOf(error)} ${error.message}` : String(error), rules, error);
}
