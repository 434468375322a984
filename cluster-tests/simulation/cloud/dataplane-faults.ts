/**
 * What becomes of one operation of the simulated dataplane: it succeeds after a delay, fails with one of the codes the
 * contract names for it, is applied and then not answered, is applied by half, or stalls. Drawn from the seed.
 * simulated-dataplane.ts asks for a fault per call; the rates are set by the run's phase (faults, then healed).
 */
import { PhotonError, type ErrorGroup } from '@photoncloud/runtime/contract/errors';
import type { Random } from '@photoncloud/runtime/contract/random';

/** Probabilities per call; what is left succeeds. */
export interface FaultRates {
  readonly fault: number;
  /** Will not pass by itself: rare, for it ends the attempt. */
  readonly defeat: number;
  /** Applied, but the caller gets `unknown`. */
  readonly unanswered: number;
  /** Not applied, and the caller gets `unknown` too. */
  readonly lost: number;
  /** Applied by half, then a fault. */
  readonly half: number;
  /** Takes `stallMs` at most before it succeeds. */
  readonly stall: number;
  readonly stallMs: number;
  /** Of an ordinary call, drawn evenly from 1 ms up. */
  readonly longestMs: number;
}

export const calmRates: FaultRates = {
  fault: 0,
  defeat: 0,
  unanswered: 0,
  lost: 0,
  half: 0,
  stall: 0,
  stallMs: 0,
  longestMs: 40,
};

type Named = readonly [ErrorGroup, string];

const programTimeout: Named = ['unknown', 'program_timeout'];
const kernelBusy: Named = ['fault', 'kernel_busy'];
const diskErrors: readonly Named[] = [
  ['fault', 'storage_full'],
  ['fault', 'storage_failed'],
];

/**
 * What each method may fail with whatever the state is; errors that the state explains (`tap_missing`, ...) come from
 * the operation itself. From the contract's comments and the tables of actors/dataplane/<noun>-errors.ts.
 */
const named: Readonly<Record<string, readonly Named[]>> = {
  realizeSegment: [kernelBusy, ['defeat', 'kernel_refused'], programTimeout],
  changeSegment: [kernelBusy, ['fault', 'device_missing'], programTimeout],
  // One section of a segment; the others are made.
  'section overlay': [kernelBusy, ['fault', 'vni_busy'], ['defeat', 'kernel_refused']],
  'section networks': [kernelBusy, ['fault', 'dnsmasq_failed'], ['defeat', 'dnsmasq_refused'], programTimeout],
  'section routes': [kernelBusy, ['fault', 'device_missing'], programTimeout],
  removeSegment: [kernelBusy, programTimeout],
  createTap: [kernelBusy, ['fault', 'kernel_exhausted'], ['defeat', 'tap_refused'], programTimeout],
  wireTap: [
    kernelBusy,
    ['fault', 'firewall_conflict'],
    ['fault', 'tap_drifted'],
    ['defeat', 'firewall_refused'],
    programTimeout,
  ],
  removeTap: [kernelBusy, ['fault', 'device_missing'], programTimeout],
  startIncarnation: [
    ['fault', 'qemu_failed'],
    ['fault', 'kernel_exhausted'],
    ['defeat', 'qemu_refused'],
    ['unknown', 'qmp_timeout'],
  ],
  resumeIncarnation: [
    ['fault', 'qmp_refused'],
    ['unknown', 'qmp_timeout'],
  ],
  stopIncarnation: [
    ['fault', 'qemu_stuck'],
    ['unknown', 'qmp_timeout'],
  ],
  cleanIncarnation: [
    ['fault', 'storage_failed'],
    ['unknown', 'program_timeout'],
  ],
  inspectImage: [['fault', 'storage_failed'], programTimeout],
  importCopy: [...diskErrors, programTimeout],
  fetchCopy: [['fault', 'fetch_failed'], ...diskErrors, programTimeout],
  removeCopy: [['fault', 'storage_failed'], programTimeout],
  ensureReplica: [...diskErrors, ['defeat', 'disk_damaged'], programTimeout],
  removeReplica: [['fault', 'storage_failed'], programTimeout],
  observeHost: [kernelBusy, programTimeout],
  readInventory: [kernelBusy, programTimeout],
  sweep: [programTimeout],
};

export interface FaultDraw {
  readonly delayMs: number;
  /** How much of the change happens. */
  readonly applied: 'whole' | 'half' | 'none';
  readonly error: PhotonError | null;
}

function errorOf(method: string, group: ErrorGroup, random: Random): PhotonError | null {
  const choices = (named[method] ?? []).filter((one) => one[0] === group);
  const chosen = choices[Math.floor(random.fraction() * choices.length)];
  if (chosen === undefined) return null;
  return new PhotonError(chosen[0], chosen[1], `${method} was made to fail with ${chosen[1]} by the simulation.`);
}

/** Always draws the same number of times, so that a change of rates does not shift what comes after. */
export function drawFault(method: string, rates: FaultRates, random: Random): FaultDraw {
  const roll = random.fraction();
  const delay = random.fraction();
  const delayMs = 1 + Math.floor(delay * rates.longestMs);
  const kinds = [
    [rates.fault, { applied: 'none', group: 'fault' }],
    [rates.defeat, { applied: 'none', group: 'defeat' }],
    [rates.unanswered, { applied: 'whole', group: 'unknown' }],
    [rates.lost, { applied: 'none', group: 'unknown' }],
    [rates.half, { applied: 'half', group: 'fault' }],
  ] as const;
  let sum = 0;
  for (const [rate, { applied, group }] of kinds) {
    sum += rate;
    if (roll >= sum) continue;
    const error = errorOf(method, group, random);
    return error === null ? { delayMs, applied: 'whole', error: null } : { delayMs, applied, error };
  }
  random.fraction();
  const stalls = roll < sum + rates.stall;
  return { delayMs: stalls ? Math.floor(delay * rates.stallMs) : delayMs, applied: 'whole', error: null };
}
