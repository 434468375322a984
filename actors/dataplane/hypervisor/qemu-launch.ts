/**
 * Starts the QEMU process of a run, without rights. QEMU opens its disks, taps and sockets as root; then it changes its
 * root to an empty folder and its user to one that only this VM has, and keeps no capability. Its system call filter
 * denies programs and new privileges. So a guest that takes over its QEMU (docs/threats.md#t31) has the descriptors of
 * its own VM and nothing else: no file, no process and no tap of anybody.
 * Called by qemu-start.ts. Promise: when it resolves, QEMU has given up root and answers on its control socket. QEMU
 * outlives the worker.
 *
 * Rejected: `-daemonize`, which forks after the filter is installed, so that the filter would have to allow fork and
 * execve; and starting QEMU as that user at once, which would need every file and tap to be given to the user first.
 */
import { writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { DataplaneSite } from '../dataplane-site.ts';
import { fileError, kernelError } from '../kernel-errors.ts';
import { startProgram } from '../program.ts';
import type { StartedProgram } from '../program.ts';
import { readTextFile } from '../storage-files.ts';
import { joinGroup } from './qemu-cgroup.ts';
import { incarnationErrors, qemuSilent } from './qemu-errors.ts';
import { listRuns } from './qemu-folder.ts';
import type { IncarnationPaths } from './qemu-folder.ts';
import type { IncarnationSessions } from './qemu-session.ts';

const startTimeoutMs = 20_000;
const pollEveryMs = 20;
/** Users of guests: above the ranges of Debian, systemd and subuid, below 2^31. None of them is in /etc/passwd. */
const firstGuestUid = 1_900_000_000;

/** @returns the lowest user that no other run of this host has. A record keeps it taken until the run is cleaned. */
export async function claimGuestUid(site: DataplaneSite, paths: IncarnationPaths): Promise<number> {
  return site.locks.hold('guest users', async () => {
    const runs = await listRuns(site);
    const texts = await Promise.all(runs.map((run) => readTextFile(run.paths.uidFile)));
    const taken = new Set(texts.map(Number));
    let uid = firstGuestUid;
    while (taken.has(uid)) uid += 1;
    try {
      await writeFile(paths.uidFile, String(uid), { mode: 0o600 });
    } catch (error) {
      throw fileError(`recording the user of ${paths.id}`, error);
    }
    return uid;
  });
}

/** @throws by `incarnationErrors`; unknown `qemu_silent` when it neither ends nor answers within 20 s */
export async function launchQemu(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  paths: IncarnationPaths,
  args: readonly string[],
  what: string,
): Promise<void> {
  const qemu = await startProgram({ program: site.options.qemu.binary, args, what });
  await joinOrEnd(paths, qemu);
  const patience = new AbortController();
  try {
    const ended = await Promise.race([qemu.ended, answers(sessions, paths, patience.signal)]);
    if (ended === 'silent') throw qemuSilent(what, startTimeoutMs);
    if (ended !== 'answers')
      throw withoutFolders(site, kernelError(what, ended.stderr || `QEMU ${ended.how}`, incarnationErrors));
  } finally {
    patience.abort();
    qemu.release();
  }
}

/** It has run no guest yet: it starts paused. A QEMU outside of its group would be adopted by the next attempt. */
async function joinOrEnd(paths: IncarnationPaths, qemu: StartedProgram): Promise<void> {
  try {
    await joinGroup(paths.group, qemu.pid);
  } catch (error) {
    process.kill(qemu.pid, 'SIGKILL');
    await qemu.ended;
    throw error;
  }
}

/** QEMU's words reach the tenant: they name files without the folders of the host. */
function withoutFolders({ folders }: DataplaneSite, error: PhotonError): PhotonError {
  const { group, code, message } = error.record;
  const names = [folders.volumes, folders.images, folders.incarnations, folders.run];
  const plain = names.reduce((text, folder) => text.replaceAll(`${folder}/`, ''), message);
  return new PhotonError(group, code, plain, { cause: error });
}

/** QEMU greets when its main loop begins, which is after it has given up root. */
async function answers(
  sessions: IncarnationSessions,
  paths: IncarnationPaths,
  signal: AbortSignal,
): Promise<'answers' | 'silent'> {
  const endMs = performance.now() + startTimeoutMs;
  while (performance.now() < endMs && !signal.aborted) {
    try {
      await sessions.client(paths);
      return 'answers';
    } catch (error) {
      // Not there yet, or too busy to greet in time.
      if (!(error instanceof PhotonError)) throw error;
    }
    await pause(pollEveryMs);
  }
  return 'silent';
}
