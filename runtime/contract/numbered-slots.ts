/**
 * Things that wait for something by number, such as requests for their answers; a number is free again once its thing
 * has been taken. Called by the client, the control API and the links between nodes. It keeps no order.
 *
 * A Map would do, but for what V8 makes of one whose entries come and go while some are always there: every few dozen
 * of them it outgrows its table, and a table it has left points to the next one. As soon as one such table is in the
 * old generation, all later ones stay alive until the next full collection, with everything that was in them when they
 * were left. Half of the client's time went into copying that.
 */
export class NumberedSlots<T> {
  /** Null: abandoned. */
  readonly #values: (T | null | undefined)[] = [];
  readonly #free: number[] = [];
  #size = 0;

  /** Without those that were abandoned. */
  get size(): number {
    return this.#size;
  }

  /** @returns its number, from 1 */
  add(value: T): number {
    this.#size += 1;
    const number = this.#free.pop();
    if (number === undefined) return this.#values.push(value);
    this.#values[number - 1] = value;
    return number;
  }

  /** Frees the number. @returns what had it, or undefined when nothing had or it was abandoned. */
  take(number: number): T | undefined {
    const value = this.#values[number - 1];
    if (value === undefined) return undefined;
    this.#values[number - 1] = undefined;
    this.#free.push(number);
    if (value === null) return undefined;
    this.#size -= 1;
    return value;
  }

  /** Lets it go, and keeps the number until it is taken: it is still on its way somewhere and may come back. */
  abandon(number: number): void {
    const value = this.#values[number - 1];
    if (value === undefined || value === null) return;
    this.#values[number - 1] = null;
    this.#size -= 1;
  }

  /** With their numbers. */
  entries(): (readonly [number, T])[] {
    return this.#values.flatMap((value, at) =>
      value === undefined || value === null ? [] : [[at + 1, value] as const],
    );
  }

  /** Takes everything. */
  drain(): T[] {
    return this.entries().map(([number, value]) => {
      this.take(number);
      return value;
    });
  }
}
