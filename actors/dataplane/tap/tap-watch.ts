/**
 * Waits until a wired tap no longer is what its spec says, by reading it every few seconds.
 * A slow look on purpose: 200 ports cost 40 reads a second, and what breaks a tap is rare (an operator, a dead
 * namespace); QEMU's death is seen by its own watch. Called by actors/binding. It changes nothing.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { TapSpec } from '@photoncloud/machines/values/wiring';
import type { Call } from '../contract/call-contract.ts';
import type { NetworkDataplane, TapReading } from '../contract/network-contract.ts';

export interface TapBroken {
  readonly reason: 'tap_gone' | 'tap_drift';
  /** One sentence: what is missing or differs. */
  readonly detail: string;
}

const lookEveryMs = 5_000;

function brokenness(reading: TapReading, spec: TapSpec): TapBroken | undefined {
  if (reading.place !== 'segment')
    return { reason: 'tap_gone', detail: `The tap of ${spec.port} is not in ${spec.vpc}.` };
  if (reading.drift.length > 0)
    return { reason: 'tap_drift', detail: `The tap of ${spec.port} differs: ${reading.drift.join(', ')}.` };
  return undefined;
}

/** @throws the read's error, and the signal's reason when aborted */
export async function watchTap(
  network: Pick<NetworkDataplane, 'readTap'>,
  spec: TapSpec,
  call: Call,
): Promise<TapBroken> {
  for (;;) {
    await pause(lookEveryMs, undefined, { signal: call.signal });
    const broken = brokenness(await network.readTap(spec, call), spec);
    if (broken !== undefined) return broken;
  }
}
