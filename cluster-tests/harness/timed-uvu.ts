/**
 * uvu with a deadline for every test and hook, a record of what ran, and an end.
 * Not a second test runner: uvu runs the tests; this wraps what a test file hands to it. Test files import 'uvu' as
 * ever; test-preload.ts turns that import here when test-all.ts runs the file. A file run by hand meets plain uvu.
 * Upholds: no test waits for ever, a failing hook is a failure (uvu swallows it), and a file without a test does not
 * pass.
 */
import { testEndKey } from '@photoncloud/runtime/contract/patience-for-tests';
import * as uvu from 'uvu';
import type { Callback, Test } from 'uvu';

export interface FileOutcome {
  passed: number;
  failed: number;
  /** Names of skipped tests, with the reason when the test gave it in its name. */
  skipped: string[];
  /** Kinds of handles that were still open when the last test had ended. */
  leftOpen: string[];
}

interface Tally {
  declared: number;
  passed: number;
  brokenHooks: string[];
  skipped: string[];
  runs: number;
  /** Clean-up of the file, for when it is ended from outside. */
  cleanUps: (() => Promise<void>)[];
}

export const tally: Tally = { declared: 0, passed: 0, brokenHooks: [], skipped: [], runs: 0, cleanUps: [] };
let testLimitMs = 60_000;
let atFirstRun: () => void = () => undefined;

/** Set once by the preload, before the test file is loaded. */
export function setUpTiming(limitMs: number, whenRunIsAsked: () => void): void {
  testLimitMs = limitMs;
  atFirstRun = whenRunIsAsked;
}

async function withDeadline<T>(what: string, work: () => T | Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  Reflect.set(globalThis, testEndKey, performance.now() + testLimitMs);
  const deadline = new Promise<never>((_, fail) => {
    timer = setTimeout(() => {
      fail(new Error(`${what} did not end within its limit of ${testLimitMs / 1000} s (raise it: // test limit: N s)`));
    }, testLimitMs);
  });
  try {
    return await Promise.race([Promise.resolve().then(work), deadline]);
  } finally {
    clearTimeout(timer);
  }
}

type Handler = Callback<Record<string, unknown>>;

const timedTest =
  (name: string, body: Handler): Handler =>
  async (context) => {
    await withDeadline(`test "${name}"`, () => body(context));
    tally.passed += 1;
  };

const timedHook =
  (kind: string, body: Handler): Handler =>
  async (context) => {
    try {
      await withDeadline(`hook ${kind}`, () => body(context));
    } catch (error) {
      tally.brokenHooks.push(`${kind}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      throw error;
    }
  };

function timed(inner: Test<Record<string, unknown>>): Test<Record<string, unknown>> {
  const declare = (name: string, body: Handler): void => {
    tally.declared += 1;
    inner(name, timedTest(name, body));
  };
  const hook = (kind: 'before' | 'after') =>
    Object.assign(
      (body: Handler): void => {
        const hooked = timedHook(kind, body);
        inner[kind](hooked);
        if (kind === 'after') tally.cleanUps.push(async () => hooked({ __suite__: '', __test__: '' }));
      },
      {
        each: (body: Handler): void => {
          inner[kind].each(timedHook(`${kind}.each`, body));
        },
      },
    );
  return Object.assign(declare, {
    only: (name: string, body: Handler): void => {
      tally.declared += 1;
      inner.only(name, timedTest(name, body));
    },
    skip: (name?: string): void => {
      tally.skipped.push(name ?? 'a test without a name');
      inner.skip();
    },
    before: hook('before'),
    after: hook('after'),
    run: (): void => {
      inner.run();
      tally.runs += 1;
      if (tally.runs === 1) atFirstRun();
    },
  });
}

export const test = timed(uvu.test);
export const suite = (title?: string, context?: Record<string, unknown>): Test<Record<string, unknown>> =>
  timed(uvu.suite(title, context));
export const exec = uvu.exec;
