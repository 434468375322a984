/**
 * Draws the outcome of one operation of the simulated dataplane from the seed: it succeeds after a delay, fails with
 * one of the codes that the contract names for it, is applied and not answered, is applied by half, or stalls. Called
 * by simulated-site.ts for every operation; cloud-faults.ts sets the rates and, on healing, resets them.
 */
import { PhotonError, type ErrorGroup } from '@photoncloud/runtime/contract/errors';
import type { Random } from '@photoncloud/runtime/contract/random';

/** Probabilities per call; the rest of the calls succeed. */
export interface FaultRates {
  readonly fault: number;
  /** An error that does not pass by itself; kept rare, because it ends the chart's attempt. */
  readonly defeat: number;
  /** Applied, and the caller gets `unknown`. */
  readonly unanswered: number;
  /** Not applied, and the caller gets `unknown` as well. */
  readonly lost: number;
  /** Applied by half, then a fault. */
  readonly half: number;
  /** Takes up to `stallMs` and succeeds. */
  readonly stall: number;
  readonly stallMs: number;
  /** Duration of an ordinary call, drawn evenly from 1 ms up to this. */
  readonly longestMs: number;
}

export const noFaults: FaultRates = {
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
const qmpErrors: readonly Named[] = [
  ['fault', 'qmp_refused'],
  ['unknown', 'qmp_timeout'],
];
const diskErrors: readonly Named[] = [
  ['fault', 'storage_full'],
  ['fault', 'storage_failed'],
];

/**
 * Errors that each method may return in any state; errors that depend on the state (`tap_missing`, ...) come from the
 * operation itself. Taken from the contract's comments and the tables of actors/dataplane/<noun>-errors.ts.
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
  resumeIncarnation: qmpErrors,
  pauseIncarnation: qmpErrors,
  resetIncarnation: qmpErrors,
  plugDevices: qmpErrors,
  resizeDisk: [...qmpErrors, ['fault', 'size_unseen']],
  stopIncarnation: [
    ['fault', 'qemu_stuck'],
    ['unknown', 'qmp_timeout'],
  ],
  cleanIncarnation: [
    ['fault', 'storage_failed'],
    ['unknown', 'program_timeout'],
  ],
  receiveIncarnation: [
    ['fault', 'qemu_failed'],
    ['unknown', 'qmp_timeout'],
  ],
  sendIncarnation: [
    ['fault', 'migration_failed'],
    ['unknown', 'qmp_timeout'],
  ],
  holdIncarnation: [['unknown', 'qmp_timeout']],
  unsendIncarnation: [
    ['fault', 'qmp_refused'],
    ['unknown', 'qmp_timeout'],
  ],
  inspectImage: [['fault', 'storage_failed'], programTimeout],
  importCopy: [...diskErrors, programTimeout],
  gatherCopy: [['fault', 'source_unreachable'], ['fault', 'source_broke'], ...diskErrors],
  storeGathered: [...diskErrors, programTimeout],
  fetchCopy: [['fault', 'fetch_failed'], ...diskErrors, programTimeout],
  removeCopy: [['fault', 'storage_failed'], programTimeout],
  ensureReplica: [...diskErrors, ['fault', 'fetch_failed'], ['defeat', 'disk_damaged'], programTimeout],
  removeReplica: [['fault', 'storage_failed'], programTimeout],
  takeSnapshot: [...diskErrors, ['fault', 'snapshot_disturbed'], ['unknown', 'qmp_timeout']],
  removeSnapshot: [['fault', 'storage_failed'], programTimeout],
  observeHost: [kernelBusy, programTimeout],
  readInventory: [kernelBusy, programTimeout],
  sweep: [programTimeout],
};

export interface FaultDraw {
  readonly delayMs: number;
  /** How much of the change is applied. */
  readonly applied: 'whole' | 'half' | 'none';
  readonly error: PhotonError | null;
}

function errorOf(method: string, group: ErrorGroup, random: Random): PhotonError | null {
  const choices = (named[method] ?? []).filter((one) => one[0] === group);
  const chosen = choices[Math.floor(random.fraction() * choices.length)];
  if (chosen === undefined) return null;
  return new PhotonError(chosen[0], chosen[1], `${method} was made to fail with ${chosen[1]} by the simulation.`);
}

/** Always draws the same number of times, so that a change of rates does not shift later draws. */
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
