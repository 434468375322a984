/**
 * The process of the metadata service of one VPC: started in its namespace, found again by its pidfile and command
 * line, stopped. Called by metadata-section.ts. Promise: at most one for a namespace; that of an older release is
 * replaced.
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { fileError } from '../kernel-errors.ts';
import { hashName } from '../kernel-names.ts';
import { awaitGone, commandLineOf, identifyProcess, readPidFile, signalProcess } from '../process-lookup.ts';
import type { ProcessIdentity } from '../process-lookup.ts';
import { startProgram } from '../program.ts';

/** The user as whom services run: below those of guests, and like them in no /etc/passwd. */
export const serviceUid = 1_899_999_999;

const sources = ['metadata-server-main.ts', 'metadata-answers.ts'].map((name) => path.join(import.meta.dirname, name));
const [main = ''] = sources;
const pidFileOf = (folder: string): string => `${folder}.pid`;
const startTimeoutMs = 20_000;
const stopGraceMs = 1_000;

let version: string | undefined;
async function currentVersion(): Promise<string> {
  version ??= hashName((await Promise.all(sources.map((file) => readFile(file, 'utf8')))).join(''), 16);
  return version;
}

/** @returns the running service of this folder and whether it is the one that this release would start */
export async function readMetadataServer(folder: string): Promise<(ProcessIdentity & { isCurrent: boolean }) | null> {
  const pid = await readPidFile(pidFileOf(folder));
  if (pid === null) return null;
  const [identity, words] = await Promise.all([identifyProcess(pid), commandLineOf(pid)]);
  const at = words.indexOf(main);
  if (identity === null || at < 0 || words[at + 1] !== folder) return null;
  return { ...identity, isCurrent: words[at + 3] === (await currentVersion()) };
}

/** @throws fault `metadata_failed` */
export async function ensureMetadataServer(folder: string, namespace: string): Promise<void> {
  const running = await readMetadataServer(folder);
  if (running?.isCurrent === true) return;
  if (running !== null) await stopServer(running);
  const flags = ['--permission', ...[folder, ...sources].map((one) => `--allow-fs-read=${one}`)];
  const memory = ['--max-old-space-size=32', '--max-semi-space-size=1', '--disable-warning=ExperimentalWarning'];
  const server = await startProgram({
    program: 'nsenter',
    args: [
      `--net=/run/netns/${namespace}`,
      'setpriv',
      '--no-new-privs',
      process.execPath,
      ...flags,
      ...memory,
      main,
      folder,
      String(serviceUid),
      await currentVersion(),
    ],
    what: `starting the metadata service in ${namespace}`,
  });
  let end: string | undefined;
  void server.ended.then(({ how, stderr }) => (end = stderr || how));
  const untilMs = performance.now() + startTimeoutMs;
  // It has given up root right after it began to listen.
  while (end === undefined && (await uidOf(server.pid)) !== serviceUid) {
    if (performance.now() > untilMs) end = `it did not listen within ${startTimeoutMs} ms`;
    else await pause(20);
  }
  server.release();
  if (end !== undefined) throw failed(namespace, end);
  try {
    await writeFile(pidFileOf(folder), `${server.pid}\n`, { mode: 0o600 });
  } catch (error) {
    throw fileError(`writing ${pidFileOf(folder)}`, error);
  }
}

async function uidOf(pid: number): Promise<number | null> {
  try {
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    return Number(/^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1]);
  } catch {
    // The process has ended: it is nobody's.
    return null;
  }
}

const failed = (namespace: string, why: string): PhotonError =>
  new PhotonError(
    'fault',
    'metadata_failed',
    `The metadata service in ${namespace} was not started: ${why.trim().split('\n').slice(-3).join(' ')}; try again.`,
  );

/** Stops it; no error without one. */
export async function stopMetadataServer(folder: string): Promise<void> {
  const running = await readMetadataServer(folder);
  if (running !== null) await stopServer(running);
  await rm(pidFileOf(folder), { force: true });
}

async function stopServer(server: ProcessIdentity): Promise<void> {
  await signalProcess(server, 'SIGTERM');
  if (await awaitGone(server, stopGraceMs)) return;
  await signalProcess(server, 'SIGKILL');
  if (await awaitGone(server, stopGraceMs)) return;
  throw new PhotonError(
    'fault',
    'metadata_stuck',
    `The metadata service ${server.pid} survived SIGKILL; look at the host.`,
  );
}
