/**
 * Ends a run: power button, then `quit`, then SIGKILL to its control group. Called by qemu-operations.ts; the
 * sweep kills too.
 * Promise: when it resolves, the QEMU process has ended. A QEMU that does not answer on QMP is killed at once.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { waitOutside, type Call } from '../contract/call-contract.ts';
import type { IncarnationStop } from '../contract/incarnation-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { awaitGone, isStillRunning } from '../process-lookup.ts';
import type { ProcessIdentity } from '../process-lookup.ts';
import { checkCount, checkOwner } from '../wiring-checks.ts';
import { killWithGroup } from './qemu-cgroup.ts';
import { pathsOf } from './qemu-folder.ts';
import type { IncarnationPaths } from './qemu-folder.ts';
import { findIncarnation } from './qemu-session.ts';
import type { IncarnationSessions } from './qemu-session.ts';
import { quitIncarnation, writeEnd } from './qemu-watch.ts';

const killGraceMs = 5000;
const pollEveryMs = 100;

export async function stopQemu(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  stop: IncarnationStop,
  call: Call,
): Promise<{ how: 'absent' | 'guest' | 'quit' | 'killed' }> {
  checkOwner(stop.incarnation.owner);
  checkCount('graceMs', stop.graceMs, 0, 3_600_000);
  const paths = pathsOf(site, stop.incarnation.owner);
  const identity = await findIncarnation(paths, true);
  if (identity === null) return { how: 'absent' };
  const powered = await pressPowerButton(sessions, paths, identity, stop.graceMs, call);
  if (powered) await writeEnd(paths, { reason: 'guest_shutdown', detail: 'The guest powered off when asked to.' });
  call.signal.throwIfAborted();
  if (await quitIncarnation(sessions, paths, identity)) {
    await writeEnd(paths, { reason: 'host_quit', detail: 'QEMU was told to quit.' });
    return { how: powered ? 'guest' : 'quit' };
  }
  // Written before the kill: a watch that notices the end of the process must find the reason.
  await writeEnd(paths, { reason: 'killed', detail: 'QEMU did not answer and was killed.' });
  await killIncarnation(paths, identity);
  return { how: 'killed' };
}

/** @throws fault `qemu_stuck` */
export async function killIncarnation(paths: IncarnationPaths, identity: ProcessIdentity): Promise<void> {
  await killWithGroup(paths.group, identity);
  if (await awaitGone(identity, killGraceMs)) return;
  throw new PhotonError(
    'fault',
    'qemu_stuck',
    `QEMU process ${identity.pid} survived SIGKILL (a disk may hang); try again.`,
  );
}

/** @returns whether the guest powered off or the QEMU process ended within the grace time */
async function pressPowerButton(
  sessions: IncarnationSessions,
  paths: IncarnationPaths,
  identity: ProcessIdentity,
  graceMs: number,
  call: Call,
): Promise<boolean> {
  const until = performance.now() + graceMs;
  const poweredOff = async (): Promise<boolean> => {
    while (performance.now() < until) {
      await pause(pollEveryMs, undefined, { signal: call.signal });
      if (!(await isStillRunning(identity)) || (await sessions.status(paths)) === 'shutdown') return true;
    }
    return false;
  };
  try {
    const status = await sessions.status(paths);
    if (status === 'shutdown') return true;
    if (graceMs === 0 || status !== 'running') return false;
    await (await sessions.client(paths)).execute('system_powerdown');
    // Many guests may take minutes to power off; meanwhile the host starts and stops others.
    return await waitOutside(call, poweredOff);
  } catch (error) {
    // Without an answer there is no guest to wait for: `quit` is tried next, then SIGKILL.
    if (error instanceof PhotonError) return !(await isStillRunning(identity));
    throw error;
  }
}
