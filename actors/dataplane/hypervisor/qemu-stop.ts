/**
 * Ends a run: the power button, then `quit`, then SIGKILL to the very process that was found. Called by
 * qemu-operations.ts. Promise: when it resolves the process is gone; a QEMU that does not answer is killed, not
 * waited for.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { IncarnationStop } from '../contract/incarnation-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { awaitGone, isSame, signalProcess } from '../process-sight.ts';
import type { ProcessSight } from '../process-sight.ts';
import { checkCount, checkOwner } from '../wiring-checks.ts';
import { placeOf } from './qemu-folder.ts';
import type { IncarnationPlace } from './qemu-folder.ts';
import { findIncarnation } from './qemu-session.ts';
import type { IncarnationSessions } from './qemu-session.ts';
import { quitIncarnation, writeEnd } from './qemu-watch.ts';

const killGraceMs = 5000;
const lookEveryMs = 100;

export async function stopQemu(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  stop: IncarnationStop,
  signal: AbortSignal,
): Promise<{ how: 'absent' | 'guest' | 'quit' | 'killed' }> {
  checkOwner(stop.incarnation.owner);
  checkCount('graceMs', stop.graceMs, 0, 3_600_000);
  const place = placeOf(site, stop.incarnation.owner);
  const sight = await findIncarnation(place, true);
  if (sight === null) return { how: 'absent' };
  const powered = await pressPowerButton(sessions, place, sight, stop.graceMs, signal);
  if (powered) await writeEnd(place, { reason: 'guest_shutdown', detail: 'The guest powered off when asked to.' });
  signal.throwIfAborted();
  if (await quitIncarnation(sessions, place, sight)) {
    await writeEnd(place, { reason: 'host_quit', detail: 'QEMU was told to quit.' });
    return { how: powered ? 'guest' : 'quit' };
  }
  // before the kill: a watch that sees the process gone would otherwise find no reason
  await writeEnd(place, { reason: 'killed', detail: 'QEMU did not answer and was killed.' });
  await signalProcess(sight, 'SIGKILL');
  if (!(await awaitGone(sight, killGraceMs))) {
    throw new PhotonError(
      'fault',
      'qemu_stuck',
      `QEMU ${sight.pid} of ${stop.incarnation.owner.actor} does not die (a disk may hang); try again.`,
    );
  }
  return { how: 'killed' };
}

/** @returns whether the guest has powered off (or QEMU went) within its time */
async function pressPowerButton(
  sessions: IncarnationSessions,
  place: IncarnationPlace,
  sight: ProcessSight,
  graceMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const until = performance.now() + graceMs;
  try {
    const status = await sessions.status(place);
    if (status === 'shutdown') return true;
    if (graceMs === 0 || status !== 'running') return false;
    await (await sessions.client(place)).execute('system_powerdown');
    while (performance.now() < until) {
      await pause(lookEveryMs, undefined, { signal });
      if (!(await isSame(sight)) || (await sessions.status(place)) === 'shutdown') return true;
    }
    return false;
  } catch (error) {
    // no answer means no guest to wait for: quit, and then the kill, decide
    if (error instanceof PhotonError) return !(await isSame(sight));
    throw error;
  }
}
