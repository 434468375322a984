/**
 * Locks within this process: one change at a time per kernel object. No lock between processes is needed because a
 * host has one worker. Called by the operations and the sweep. Promise: waiters run in the order in which they called.
 */
export class ObjectLocks {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** @param wait is called with the wait for the work before, if there is any; `work` starts when it resolves */
  async hold<Result>(
    key: string,
    work: () => Promise<Result>,
    wait: (turn: () => Promise<void>) => Promise<void> = (turn) => turn(),
  ): Promise<Result> {
    const before = this.#tails.get(key);
    // The work starts whether the work before it succeeded or failed; an error is given to its own caller only.
    const ended = (): void => {};
    const turn = (): Promise<void> => before?.then(ended, ended) ?? Promise.resolve();
    const mine = (before === undefined ? turn() : wait(turn)).then(work);
    this.#tails.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#tails.get(key) === mine) this.#tails.delete(key);
    }
  }
}
