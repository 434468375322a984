/**
 * Locks within this process: one change at a time per kernel object. No lock between processes is needed because a
 * host has one worker. Called by the operations and the sweep. Promise: waiters run in the order in which they called.
 */
export class ObjectLocks {
  readonly #tails = new Map<string, Promise<unknown>>();

  async hold<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    // The work starts whether the work before it succeeded or failed; an error is given to its own caller only.
    const mine = before.then(work, work);
    this.#tails.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#tails.get(key) === mine) this.#tails.delete(key);
    }
  }
}
