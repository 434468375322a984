/**
 * Listens whether another host answers on the underlay: an ICMP echo every 200 ms, which the kernel there answers
 * whatever its worker does. Called by gateway-operations.ts. Promise: one lost echo is no silence; the program ends
 * with the wait, and with this process.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { gatewaySilenceMs } from '@photoncloud/machines/values/router-elements';
import { followProgram } from '../program.ts';

const echoEveryMs = 200;
const missesOfSilence = Math.ceil(gatewaySilenceMs / echoEveryMs);

/** One line of ping: an answer, a miss, or something else. */
export function heardIn(line: string): boolean | undefined {
  if (/^\d+ bytes from .*icmp_seq=/.test(line)) return true;
  return line.startsWith('no answer yet for icmp_seq=') ? false : undefined;
}

/** Turns single answers and misses into heard and silent. */
export class Hearing {
  #misses = 0;

  /** @returns what is known after this; undefined while it is not yet */
  hear(heard: boolean | undefined): boolean | undefined {
    if (heard === undefined) return undefined;
    this.#misses = heard ? 0 : this.#misses + 1;
    return heard ? true : this.#misses >= missesOfSilence ? false : undefined;
  }
}

/** Resolves when the host is heard, or is silent, other than `heard` says. Rejects with the signal's reason. */
export async function listenTo(address: string, heard: boolean, signal: AbortSignal): Promise<boolean> {
  const hearing = new Hearing();
  for (;;) {
    const args = ['-oL', 'ping', '-n', '-O', '-i', String(echoEveryMs / 1_000), address];
    const now = await followProgram({ program: 'stdbuf', args, what: `listening to ${address}`, signal }, (line) => {
      const known = hearing.hear(heardIn(line));
      return known === heard ? undefined : known;
    });
    if (now !== undefined) return now;
    // Ping has ended by itself: there is no route, or somebody has ended it. That is an echo without an answer, too.
    if (heard && hearing.hear(false) === false) return false;
    await pause(echoEveryMs, undefined, { signal });
  }
}
