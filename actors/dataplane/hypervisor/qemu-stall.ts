/**
 * Guests that stand still because a disk did not take a request (`werror=stop`, `rerror=stop`): notices it, and resumes
 * the guest later. QEMU keeps such requests and repeats them on `cont`, so the guest sees a pause and no error. Called
 * by qemu-operations.ts.
 * Promise: a stall is found also by a watch that began after it, because QEMU's run state is read and the event
 * BLOCK_IO_ERROR only makes the watch look at once. While the disk stays full the guest is not resumed, so waiting
 * changes nothing.
 */
import { statfs } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { slotted } from '@photoncloud/machines/values/device-slots';
import type { Failure } from '@photoncloud/machines/values/failures';
import { type IncarnationDisk } from '@photoncloud/machines/values/wiring';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { z } from 'zod';
import type { DataplaneSite } from '../dataplane-site.ts';
import { fileError } from '../kernel-errors.ts';
import type { IncarnationPaths } from './qemu-folder.ts';
import { qmpAnswerMs } from './qemu-session.ts';
import type { IncarnationSessions } from './qemu-session.ts';
import { sleepOr } from './qemu-watch.ts';
import type { QmpClient } from './qmp-client.ts';

/** Pause between two looks when no event comes: a look that follows a lost connection must not wait long. */
const lookEveryMs = 5_000;
const spaceEveryMs = 2_000;
/** An error other than a full disk says nothing about its end: the guest is resumed this often to try. */
const tryEveryMs = 30_000;
/** Time after a resume in which the request that failed is repeated, and may fail again. */
const proofMs = 1_000;
/** Space that must be free before a guest is resumed; else guests on a full disk would stall again at once. */
export const resumeFreeBytes = 32 << 20;

const devicesSchema = z.array(z.object({ qdev: z.string().default(''), 'io-status': z.string().default('ok') }));

export async function awaitStall(
  sessions: IncarnationSessions,
  paths: IncarnationPaths,
  disks: readonly IncarnationDisk[],
  signal: AbortSignal,
): Promise<Failure> {
  let listening: QmpClient | undefined;
  let forget = (): unknown => undefined;
  let wake: () => void = () => {};
  try {
    for (;;) {
      signal.throwIfAborted();
      const client = await answered(sessions.client(paths));
      if (client !== undefined && client !== listening) {
        forget();
        forget = client.onEvent(({ event }) => {
          if (event === 'BLOCK_IO_ERROR' || event === 'STOP') wake();
        });
        client.onClose(() => wake());
        listening = client;
      }
      // An event between the reading of the state and the pause ends the pause.
      const soon = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const stall = client === undefined ? null : await readStall(sessions, paths, client, disks);
      if (stall !== null) return stall;
      await sleepOr(soon, lookEveryMs, signal);
    }
  } finally {
    forget();
  }
}

/** @param attempt runs one change of the run under its lock and fence */
export async function awaitDisks(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  paths: IncarnationPaths,
  attempt: (work: () => Promise<void>) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let triedAt = -Infinity;
  for (;;) {
    signal.throwIfAborted();
    const status = await answered(sessions.status(paths));
    if (status === 'running') return;
    const client = status === 'io-error' ? await answered(sessions.client(paths)) : undefined;
    const full = client !== undefined && (await ioStatuses(client)).some((one) => one === 'nospace');
    const due = full ? (await answered(hasSpace(site))) === true : performance.now() - triedAt >= tryEveryMs;
    if (client !== undefined && due) {
      triedAt = performance.now();
      await answered(attempt(async () => void (await client.execute('cont', {}, qmpAnswerMs))));
      await pause(proofMs, undefined, { signal });
      continue;
    }
    await pause(spaceEveryMs, undefined, { signal });
  }
}

/** Undefined when QEMU gives no answer: the process has ended or hangs, which another watch decides. */
async function answered<Answer>(answer: Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof PhotonError && error.record.group !== 'ownership_lost') return undefined;
    throw error;
  }
}

async function ioStatuses(client: QmpClient): Promise<readonly string[]> {
  const devices = await answered(client.execute('query-block', {}, qmpAnswerMs));
  return devices === undefined ? [] : devicesSchema.parse(devices).map((device) => device['io-status']);
}

async function readStall(
  sessions: IncarnationSessions,
  paths: IncarnationPaths,
  client: QmpClient,
  disks: readonly IncarnationDisk[],
): Promise<Failure | null> {
  if ((await answered(sessions.status(paths))) !== 'io-error') return null;
  const devices = devicesSchema.parse((await answered(client.execute('query-block', {}, qmpAnswerMs))) ?? []);
  const failing = devices.find((device) => device['io-status'] !== 'ok');
  const failingSlot = Number(/\/disk(\d+)\//.exec(failing?.qdev ?? '')?.[1]);
  const [, disk] = slotted(disks).find(([slot]) => slot === failingSlot) ?? [];
  const isFar = (disk?.source?.address ?? null) !== null;
  return stallOf(failing?.['io-status'] === 'nospace', disk?.volume ?? 'a disk', isFar);
}

export const stallOf = (full: boolean, disk: string, far = false): Failure => ({
  code: full ? 'disk_full' : 'disk_error',
  message: full
    ? `the host has no space left for ${disk}; the guest stands still and goes on by itself once there is space`
    : `${disk} ${far ? 'is not reached on its storage host' : 'gives errors'}; the guest stands still and goes on by ` +
      `itself once ${far ? 'that host serves it' : 'the disk works'} again`,
  retryable: true,
});

async function hasSpace(site: DataplaneSite): Promise<boolean> {
  try {
    const { bavail, bsize } = await statfs(site.folders.volumes);
    return bavail * bsize >= resumeFreeBytes;
  } catch (error) {
    throw fileError('reading the free space for volumes', error);
  }
}
