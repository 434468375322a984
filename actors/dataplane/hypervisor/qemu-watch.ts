/**
 * Waits for the end of a run and says how it came, and cuts the console down when it outgrows its bound.
 * A guest that powers off leaves QEMU paused (`-action shutdown=pause`), so the reason can be read even when nobody
 * listened at that moment; the watch then writes it down and tells QEMU to quit. Called by qemu-operations.ts.
 * Promise: the same end is told to every watch of the run, also to one that starts after it, until the folder is
 * cleaned.
 */
import { copyFile, stat, truncate, writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { z } from 'zod';
import type { IncarnationEnd } from '../contract/incarnation-contract.ts';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { awaitGone, isSame } from '../process-sight.ts';
import type { ProcessSight } from '../process-sight.ts';
import { textOf } from './qemu-folder.ts';
import type { IncarnationPlace } from './qemu-folder.ts';
import { findIncarnation } from './qemu-session.ts';
import type { IncarnationSessions } from './qemu-session.ts';
import type { QmpClient, QmpEvent } from './qmp-client.ts';

const lookEveryMs = 500;
const consoleLimitBytes = 1 << 20;
const quitGraceMs = 3000;
const endSchema = z.object({
  reason: z.enum(['guest_shutdown', 'host_quit', 'crash', 'killed', 'gone']),
  detail: z.string(),
});

export async function readEnd(place: IncarnationPlace): Promise<IncarnationEnd | null> {
  const text = await textOf(place.endFile);
  return text === undefined ? null : endSchema.parse(JSON.parse(text));
}

/** The first word stands. */
export async function writeEnd(place: IncarnationPlace, end: IncarnationEnd): Promise<IncarnationEnd> {
  try {
    await writeFile(place.endFile, JSON.stringify(end), { flag: 'wx', mode: 0o600 });
    return end;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return (await readEnd(place)) ?? end;
    // the folder was cleaned meanwhile: nobody will ask again
    if (errnoOf(error) === 'ENOENT') return end;
    throw fileError(`recording the end of ${place.id}`, error);
  }
}

export async function awaitEnd(
  sessions: IncarnationSessions,
  place: IncarnationPlace,
  signal: AbortSignal,
): Promise<IncarnationEnd> {
  let said: IncarnationEnd | null = null;
  let listening: QmpClient | undefined;
  let wake: () => void = () => {};
  const hear = (event: QmpEvent): void => {
    said = endOfEvent(event) ?? said;
    wake();
  };
  for (;;) {
    signal.throwIfAborted();
    const known = await readEnd(place);
    const sight = await findIncarnation(place);
    if (sight === null)
      return (
        known ??
        writeEnd(
          place,
          said ?? { reason: 'gone', detail: 'The QEMU process is gone without a word; it was killed or it crashed.' },
        )
      );
    if (listening === undefined || listening.closed) {
      listening = await listen(sessions, place, hear);
      listening?.onClose(() => wake());
    }
    const paused = listening === undefined ? null : await endOfStatus(sessions, place);
    if (paused !== null) {
      const end = await writeEnd(place, paused);
      await quitIncarnation(sessions, place, sight);
      return end;
    }
    await boundConsole(place);
    const soon = new Promise<void>((resolve) => {
      wake = resolve;
    });
    await sleepOr(soon, signal);
  }
}

async function sleepOr(soon: Promise<void>, signal: AbortSignal): Promise<void> {
  const until = new AbortController();
  await Promise.race([
    soon,
    pause(lookEveryMs, undefined, { signal: AbortSignal.any([signal, until.signal]) }),
  ]).finally(() => until.abort());
}

/** Undefined when it does not answer: a stopped QEMU is alive, so the watch goes on by its process alone. */
async function listen(
  sessions: IncarnationSessions,
  place: IncarnationPlace,
  hear: (event: QmpEvent) => void,
): Promise<QmpClient | undefined> {
  try {
    const client = await sessions.client(place);
    client.onEvent(hear);
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

async function endOfStatus(sessions: IncarnationSessions, place: IncarnationPlace): Promise<IncarnationEnd | null> {
  try {
    return endings[await sessions.status(place)] ?? null;
  } catch (error) {
    if (error instanceof PhotonError) return null;
    throw error;
  }
}

/** @returns whether the process is gone */
export async function quitIncarnation(
  sessions: IncarnationSessions,
  place: IncarnationPlace,
  sight: ProcessSight,
): Promise<boolean> {
  try {
    await (await sessions.client(place)).execute('quit');
  } catch (error) {
    // it may close the socket before it answers; what counts is whether the process goes
    if (!(error instanceof PhotonError)) throw error;
    if (error.record.code === 'qmp_timeout' && (await isSame(sight))) return false;
  }
  return awaitGone(sight, quitGraceMs);
}

/** QEMU appends, so a cut file stays consistent; the piece before the cut is kept as `console.old`. */
async function boundConsole(place: IncarnationPlace): Promise<void> {
  try {
    if ((await stat(place.console)).size <= consoleLimitBytes) return;
    await copyFile(place.console, `${place.console}.old`);
    await truncate(place.console, 0);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw fileError(`cutting ${place.console}`, error);
  }
}
