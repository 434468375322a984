/**
 * An observer of a page from outside of the cloud: which boot of its guest answers, asked again and again. Used by
 * tests in which a VM starts on another host while its former run may go on: once the new run has answered, the former
 * one never does.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { GuestFacts, GuestPlace } from '../demo/guest-page.ts';

const everyMs = 100;
interface Answer {
  readonly askedMs: number;
  readonly boot: string;
}

export class BootWatch {
  readonly #place: GuestPlace;
  readonly #answers: Answer[] = [];
  #watching = true;
  readonly #watched: Promise<void>;
  #asks = 0;

  constructor(place: GuestPlace) {
    this.#place = place;
    this.#watched = this.#watch();
  }

  async #watch(): Promise<void> {
    while (this.#watching) {
      // One at a time: a guest whose processor is emulated has visitors to answer, too.
      await this.#ask();
      await pause(everyMs);
    }
  }

  async #ask(): Promise<void> {
    const askedMs = performance.now();
    this.#asks += 1;
    const { topology, node, address } = this.#place;
    try {
      const text = await topology.exec(node, ['curl', '-sS', '-m', '15', '-f', `http://${address}/state`], 20_000);
      this.#answers.push({ askedMs, boot: (JSON.parse(text) as GuestFacts).boot_id });
    } catch {
      // Nobody answers at the moment, which the caller judges.
    }
  }

  /** Boots that have answered, in the order in which they were asked first, and when: `performance.now()`. */
  boots(): readonly { readonly boot: string; readonly firstMs: number; readonly lastMs: number }[] {
    const all = this.#answers.toSorted((a, b) => a.askedMs - b.askedMs);
    return [...new Set(all.map(({ boot }) => boot))].map((boot) => {
      const own = all.filter((one) => one.boot === boot).map(({ askedMs }) => askedMs);
      return { boot, firstMs: own[0] ?? 0, lastMs: own.at(-1) ?? 0 };
    });
  }

  /** @returns how often it asked, and of two boots that answered in turn the later one that is wrong */
  async stop(): Promise<{ readonly asks: number; readonly answers: number; readonly wrong: readonly string[] }> {
    this.#watching = false;
    await this.#watched;
    const boots = this.boots();
    const wrong = boots.slice(1).flatMap(({ boot, firstMs }, at) =>
      boots
        .slice(0, at + 1)
        .filter(({ lastMs }) => lastMs >= firstMs)
        .map((former) => `boot ${former.boot} answered after boot ${boot} had`),
    );
    return { asks: this.#asks, answers: this.#answers.length, wrong };
  }
}
