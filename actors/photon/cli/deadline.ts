/**
 * The end of what `--timeout` gives a command: one for everything that the command does, so that the sum of its calls
 * and waits stays within it.
 */
import type { CallOptions } from '@photoncloud/runtime/client/client';

export interface Deadline {
  readonly seconds: number;
  leftMs(): number;
}

export function deadlineIn(seconds: number): Deadline {
  const endMs = performance.now() + seconds * 1_000;
  return { seconds, leftMs: () => Math.max(0, endMs - performance.now()) };
}

/** The server's limit for the wait of a command is lower than some deadlines. */
const longestAskMs = 120_000;
/** What the answer may take beyond the wait at the server. */
const answerMs = 1_000;

/** How long the server waits for the actor, and how long the client waits for the server. */
export function askWithin(deadline: Deadline): { readonly waitMs: number; readonly call: CallOptions } {
  const leftMs = Math.max(1, Math.round(deadline.leftMs()));
  return { waitMs: Math.min(longestAskMs, leftMs), call: { timeoutMs: leftMs + answerMs } };
}
