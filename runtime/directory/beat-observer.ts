/**
 * Who has fallen silent, judged by beat counters as this node has seen them on its own monotonic clock. Pure: it is
 * told what was read and when. Between two looks only the time from the answer to the first to the question of the
 * second counts: that long at least the counter stood still, however slow the store or this node was. A node that did
 * not look itself for a while (its event loop was blocked, or the store was away) does not accuse others: what
 * happened in that time is not counted.
 *
 * This only permits a takeover. Safety comes from the epoch in every commit.
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
  /** Times it was seen to have beaten since it was first seen, or was silent. */
  seen: number;
}

const beatsToBeSteady = 2;

export class BeatObserver {
  readonly #silenceMs: number;
  readonly #longestGapMs: number;
  readonly #beats = new Map<string, Beat>();
  #lastAnsweredMs: number | undefined;

  /** @param longestGapMs between two looks; after a longer one the counting of silence begins anew */
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

  /** Whether a node may be taken for alive: it has a counter and was not silent for too long. */
  isAlive(name: string): boolean {
    const beat = this.#beats.get(name);
    return beat !== undefined && !beat.silent;
  }

  /** Whether it is silent, and this counter is the one it fell silent at. */
  isSilentAt(name: string, counter: string): boolean {
    const beat = this.#beats.get(name);
    return beat !== undefined && beat.silent && beat.counter === counter;
  }

  /** Whether it has beaten often enough under our eyes to be given something: a process that dies at once has not. */
  isSteady(name: string): boolean {
    const beat = this.#beats.get(name);
    return beat !== undefined && !beat.silent && beat.seen >= beatsToBeSteady;
  }
}
