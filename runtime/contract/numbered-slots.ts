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
  readonly #values: (T | undefined)[] = [];
  readonly #free: number[] = [];

  get size(): number {
    return this.#values.length - this.#free.length;
  }

  /** @returns its number, from 1 */
  add(value: T): number {
    const number = this.#free.pop();
    if (number === undefined) return this.#values.push(value);
    this.#values[number - 1] = value;
    return number;
  }

  /** Frees the number. @returns what had it, or undefined when nothing had. */
  take(number: number): T | undefined {
    const value = this.#values[number - 1];
    if (value === undefined) return undefined;
    this.#values[number - 1] = undefined;
    this.#free.push(number);
    return value;
  }

  /** With their numbers. */
  entries(): (readonly [number, T])[] {
    return this.#values.flatMap((value, at) => (value === undefined ? [] : [[at + 1, value] as const]));
  }
}
