/**
 * Waits for the end of a run and reports its reason; meanwhile has the console bounded, and a guest thawed that was
 * left frozen.
 * After a power-off of the guest QEMU stays, paused (`-action shutdown=pause`), so the reason can be read even if no
 * client was connected at that moment; the watch then records the reason and sends `quit`. Called by
 * qemu-operations.ts.
 * Promise: every watch of a run reports the same end, also one that starts afterwards, until the folder is removed.
 */
import { writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { z } from 'zod';
import type { IncarnationEnd } from '../contract/incarnation-contract.ts';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { awaitGone, isStillRunning } from '../process-lookup.ts';
import type { ProcessIdentity } from '../process-lookup.ts';
import { readTextFile } from '../storage-files.ts';
import { thawLeft } from './guest-freeze.ts';
import { boundConsole } from './qemu-console.ts';
import type { IncarnationPaths } from './qemu-folder.ts';
import { findIncarnation } from './qemu-session.ts';
import type { IncarnationSessions } from './qemu-session.ts';
import type { QmpClient, QmpEvent } from './qmp-client.ts';

const pollEveryMs = 500;
const quitGraceMs = 3000;
/** Longer than one attempt takes. */
const thawEveryMs = 5000;
const endSchema = z.object({
  reason: z.enum(['guest_shutdown', 'host_quit', 'crash', 'killed', 'gone']),
  detail: z.string(),
});

export async function readEnd(paths: IncarnationPaths): Promise<IncarnationEnd | null> {
  const text = await readTextFile(paths.endFile);
  return text === undefined ? null : endSchema.parse(JSON.parse(text));
}

/** Records how the run ended. The first record is kept. @returns the record that is kept */
export async function writeEnd(paths: IncarnationPaths, end: IncarnationEnd): Promise<IncarnationEnd> {
  try {
    await writeFile(paths.endFile, JSON.stringify(end), { flag: 'wx', mode: 0o600 });
    return end;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return (await readEnd(paths)) ?? end;
    // The folder was removed meanwhile: no later watch can read the record.
    if (errnoOf(error) === 'ENOENT') return end;
    throw fileError(`recording the end of ${paths.id}`, error);
  }
}

export async function awaitEnd(
  sessions: IncarnationSessions,
  paths: IncarnationPaths,
  signal: AbortSignal,
): Promise<IncarnationEnd> {
  let lastEnd: IncarnationEnd | null = null;
  let listening: QmpClient | undefined;
  let thawAgainAt = 0;
  let wake: () => void = () => {};
  const onEvent = (event: QmpEvent): void => {
    lastEnd = endOfEvent(event) ?? lastEnd;
    wake();
  };
  for (;;) {
    signal.throwIfAborted();
    const known = await readEnd(paths);
    const identity = await findIncarnation(paths);
    if (identity === null)
      return (
        known ??
        writeEnd(
          paths,
          lastEnd ?? { reason: 'gone', detail: 'The QEMU process ended without a reason; it was killed or crashed.' },
        )
      );
    if (listening === undefined || listening.closed) {
      listening = await listen(sessions, paths, onEvent);
      listening?.onClose(() => wake());
    }
    const paused = listening === undefined ? null : await endOfStatus(sessions, paths);
    if (paused !== null) {
      const end = await writeEnd(paths, paused);
      await quitIncarnation(sessions, paths, identity);
      return end;
    }
    await boundConsole(paths);
    if (performance.now() >= thawAgainAt) {
      thawAgainAt = performance.now() + thawEveryMs;
      void tryThaw(paths);
    }
    const soon = new Promise<void>((resolve) => {
      wake = resolve;
    });
    await sleepOr(soon, pollEveryMs, signal);
  }
}

/** A guest that does not answer keeps nobody waiting, and is asked again. */
async function tryThaw(paths: IncarnationPaths): Promise<void> {
  try {
    await thawLeft(paths);
  } catch (error) {
    if (!(error instanceof PhotonError)) throw error;
  }
}

/** Sleeps for the time, or until `soon`. */
export async function sleepOr(soon: Promise<void>, longestMs: number, signal: AbortSignal): Promise<void> {
  const until = new AbortController();
  await Promise.race([soon, pause(longestMs, undefined, { signal: AbortSignal.any([signal, until.signal]) })]).finally(
    () => until.abort(),
  );
}

/** Undefined when QEMU does not answer: it may be stopped, so the watch goes on with the process alone. */
async function listen(
  sessions: IncarnationSessions,
  paths: IncarnationPaths,
  onEvent: (event: QmpEvent) => void,
): Promise<QmpClient | undefined> {
  try {
    const client = await sessions.client(paths);
    client.onEvent(onEvent);
    return client;
  } catch (error) {
    if (error instanceof PhotonError) return undefined;
    throw error;
  }
}

function endOfEvent(event: QmpEvent): IncarnationEnd | null {
  if (event.event === 'GUEST_PANICKED') return { reason: 'crash', detail: 'The guest panicked.' };
  if (event.event !== 'SHUTDOWN') return null;
  const reason = String(event.data['reason']);
  if (reason === 'host-qmp-quit') return { reason: 'host_quit', detail: 'QEMU was told to quit.' };
  if (reason === 'host-signal') return { reason: 'killed', detail: 'QEMU got a signal to end.' };
  if (reason === 'guest-panic') return { reason: 'crash', detail: 'The guest panicked.' };
  return { reason: 'guest_shutdown', detail: `The guest ended (${reason}).` };
}

const endings: Readonly<Record<string, IncarnationEnd>> = {
  shutdown: { reason: 'guest_shutdown', detail: 'The guest powered off.' },
  'guest-panicked': { reason: 'crash', detail: 'The guest panicked.' },
  'internal-error': { reason: 'crash', detail: 'QEMU met an internal error and stopped the guest.' },
};

async function endOfStatus(sessions: IncarnationSessions, paths: IncarnationPaths): Promise<IncarnationEnd | null> {
  try {
    return endings[await sessions.status(paths)] ?? null;
  } catch (error) {
    if (error instanceof PhotonError) return null;
    throw error;
  }
}

/** @returns whether the process has ended */
export async function quitIncarnation(
  sessions: IncarnationSessions,
  paths: IncarnationPaths,
  identity: ProcessIdentity,
): Promise<boolean> {
  try {
    await (await sessions.client(paths)).execute('quit');
  } catch (error) {
    // QEMU may close the socket before it answers; what matters is whether the process ends.
    if (!(error instanceof PhotonError)) throw error;
    if (error.record.code === 'qmp_timeout' && (await isStillRunning(identity))) return false;
  }
  return awaitGone(identity, quitGraceMs);
}
