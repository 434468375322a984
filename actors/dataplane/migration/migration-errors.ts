/** Errors of moving a run to another host. */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { plainWords } from '../kernel-errors.ts';

export const migrationFailed = (actor: string, why: string): PhotonError =>
  new PhotonError(
    'fault',
    'migration_failed',
    `Moving ${actor} failed: ${plainWords(why) || 'QEMU gave no reason'}. It goes on where it was; migrate it again.`,
  );

export const runIsSent = (actor: string): PhotonError =>
  new PhotonError(
    'fault',
    'run_is_sent',
    `${actor} is being sent to another host and may run there; end the sending before it is resumed here.`,
  );
