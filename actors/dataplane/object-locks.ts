/**
 * One change at a time per kernel object of this process. Not a lock between processes: a host has one worker.
 * Called by the operations of linux-dataplane.ts. Promise: waiters run in the order they came.
 */
export class ObjectLocks {
  readonly #tails = new Map<string, Promise<unknown>>();

  async hold<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    // work starts whatever became of the one before; its error went to its own caller
    const mine = before.then(work, work);
    this.#tails.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#tails.get(key) === mine) this.#tails.delete(key);
    }
  }
}
