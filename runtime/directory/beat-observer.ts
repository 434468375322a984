/**
 * Decides which nodes are silent, from beat counters as this node has read them on its own monotonic clock. Pure: the
 * caller passes in what was read and when. Between two reads only the time from the answer of the first to the request
 * of the second counts as silence: the counter stood still for at least that long, however slow the store or this node
 * was. After a gap in its own reads (its event loop was blocked, or the store was unreachable) a node starts counting
 * anew, so that it takes nobody else for silent because of its own trouble.
 *
 * Silence only permits a takeover. Safety comes from the epoch in every commit (G1 in docs/promises.md).
 */

/** When the counters were read, on the monotonic clock. */
export interface LookTime {
  readonly askedMs: number;
  readonly answeredMs: number;
}

export interface BeatChanges {
  readonly silent: readonly string[];
  readonly back: readonly string[];
}

interface Beat {
  counter: string;
  silentForMs: number;
  silent: boolean;
  /** Beats seen since the node was first seen or last silent. */
  seen: number;
}

const beatsToBeSteady = 2;

export class BeatObserver {
  readonly #silenceMs: number;
  readonly #longestGapMs: number;
  readonly #beats = new Map<string, Beat>();
  #lastAnsweredMs: number | undefined;

  /** @param longestGapMs between two reads; after a longer gap the counting of silence begins anew */
  constructor(silenceMs: number, longestGapMs: number) {
    this.#silenceMs = silenceMs;
    this.#longestGapMs = longestGapMs;
  }

  /** @param counters node -> counter as stored */
  look({ askedMs, answeredMs }: LookTime, counters: Readonly<Record<string, string>>): BeatChanges {
    const last = this.#lastAnsweredMs ?? answeredMs;
    const blind = answeredMs - last > this.#longestGapMs;
    const gapMs = Math.max(0, askedMs - last);
    this.#lastAnsweredMs = answeredMs;
    const silent: string[] = [];
    const back: string[] = [];
    for (const [name, counter] of Object.entries(counters)) {
      const beat = this.#beats.get(name);
      if (beat === undefined) {
        this.#beats.set(name, { counter, silentForMs: 0, silent: false, seen: 0 });
      } else if (beat.counter !== counter) {
        if (beat.silent) back.push(name);
        const seen = beat.silent ? 1 : beat.seen + 1;
        this.#beats.set(name, { counter, silentForMs: 0, silent: false, seen });
      } else if (blind) {
        beat.silentForMs = 0;
      } else {
        beat.silentForMs += gapMs;
        if (!beat.silent && beat.silentForMs >= this.#silenceMs) {
          beat.silent = true;
          silent.push(name);
        }
      }
    }
    for (const name of this.#beats.keys()) if (counters[name] === undefined) this.#beats.delete(name);
    return { silent, back };
  }

  /** Whether a node counts as alive: it has a counter and is not silent. */
  isAlive(name: string): boolean {
    const beat = this.#beats.get(name);
    return beat !== undefined && !beat.silent;
  }

  /** Whether the node is silent and its counter has not changed since. */
  isSilentAt(name: string, counter: string): boolean {
    const beat = this.#beats.get(name);
    return beat !== undefined && beat.silent && beat.counter === counter;
  }

  /** Whether the node has beaten often enough to be given shards; a process that dies right after its start has not. */
  isSteady(name: string): boolean {
    const beat = this.#beats.get(name);
    return beat !== undefined && !beat.silent && beat.seen >= beatsToBeSteady;
  }
}
