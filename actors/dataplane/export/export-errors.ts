/** Errors of exports, and messages of qemu-storage-daemon with the error that each becomes. */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { ErrorRule } from '../kernel-errors.ts';

export const exportErrors: readonly ErrorRule[] = [
  {
    matches: /Address already in use/i,
    group: 'fault',
    code: 'export_address_busy',
    advice: 'Another program listens there; try again.',
  },
];

export const replicaMissing = (volumeUid: string): PhotonError =>
  new PhotonError(
    'fault',
    'replica_missing',
    `Volume ${volumeUid} has no raw file on this host; make it before it is served.`,
  );

export const exportFailed = (name: string, why: string): PhotonError =>
  new PhotonError('fault', 'export_failed', `Serving ${name} failed: ${why || 'no reason given'}; try again.`);

export const exportUncut = (name: string, pid: number): PhotonError =>
  new PhotonError(
    'fault',
    'export_uncut',
    `The process ${pid} that serves ${name} was killed and is still there; nothing else is served before it is gone.`,
  );

export const runIsCut = (volumeUid: string, runEpoch: number, floor: number): PhotonError =>
  new PhotonError(
    'ownership_lost',
    'run_epoch_older',
    `Volume ${volumeUid} belongs to run ${floor}; run ${runEpoch} was cut and may never use it again.`,
  );
