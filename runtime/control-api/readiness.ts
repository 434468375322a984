/**
 * Whether the node can serve, as `/readyz` says it. Anybody may ask without authentication, and the answer needs a read
 * of the whole store; so the store is asked once per `readyMs` and never twice at a time, however many ask. Called by
 * control-api.ts.
 */
import type { Clock } from '../contract/clock.ts';

/** A store that has not answered after this time does not count as ready. */
const patienceMs = 1_000;

export interface ReadinessOptions {
  /** Rejects when the store does not answer. */
  readonly askStore: () => Promise<unknown>;
  readonly clock: Clock;
  /** How long an answer counts. */
  readonly readyMs: number;
}

export function createReadiness({ askStore, clock, readyMs }: ReadinessOptions): () => Promise<boolean> {
  let known: { readonly ready: boolean; readonly untilMs: number } | undefined;
  let answering: Promise<boolean> | undefined;
  let asked = false;

  const note = (ready: boolean): boolean => {
    known = { ready, untilMs: clock.monotonicMs() + readyMs };
    return ready;
  };
  const ask = async (): Promise<boolean> => {
    asked = true;
    try {
      await askStore();
      return note(true);
    } catch {
      return note(false);
    } finally {
      asked = false;
    }
  };
  const answer = async (): Promise<boolean> => {
    let cancel = (): void => {};
    const late = new Promise<boolean>((resolve) => (cancel = clock.after(patienceMs, () => resolve(note(false)))));
    try {
      return await Promise.race([ask(), late]);
    } finally {
      cancel();
      answering = undefined;
    }
  };
  return () => {
    if (known !== undefined && clock.monotonicMs() < known.untilMs) return Promise.resolve(known.ready);
    // The question before this one still waits: the store does not answer, and another question would only wait too.
    if (asked && answering === undefined) return Promise.resolve(false);
    answering ??= answer();
    return answering;
  };
}
