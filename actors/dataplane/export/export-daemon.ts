/**
 * The process that serves a volume to one run: a qemu-storage-daemon with one export. It holds a lock, so that there
 * are never two for one run, and no capability. A run of this host comes by a socket; one of another host by TCP, and
 * proves with the key of the export that it is that run (docs/decisions/0020-key-of-an-export.md).
 * Called by export-operations.ts under the volume's lock. Promise (docs/threats.md#t81): `cutExport` resolves when the
 * daemon has said that the export is gone, with every request that it had begun, and is itself gone; or when it was
 * killed and is gone. Nothing else counts as cut.
 *
 * The daemon writes in threads and not with io_uring, whose requests may outlive the process; so a process that is
 * gone has no write on its way.
 */
import { chmod, writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { DiskFormat, OwnerToken } from '@photoncloud/machines/values/wiring';
import type { DataplaneSite } from '../dataplane-site.ts';
import { qemuProgram } from '../hypervisor/qemu-programs.ts';
import { QmpClient } from '../hypervisor/qmp-client.ts';
import { fileError, kernelError } from '../kernel-errors.ts';
import {
  awaitGone,
  commandLineOf,
  findProcesses,
  identifyProcess,
  isStillRunning,
  readPidFile,
  signalProcess,
} from '../process-lookup.ts';
import type { ProcessIdentity } from '../process-lookup.ts';
import { startProgram } from '../program.ts';
import { readTextFile } from '../storage-files.ts';
import { keyObject, writeKeyFolder } from '../tls-key.ts';
import { exportErrors, exportFailed, exportUncut } from './export-errors.ts';
import { exportName, makeExportFolder, removeExportFolder, type ExportPaths } from './export-folder.ts';

const exportId = 'volume';
/** The disk that a daemon serves, for its monitor. */
export const exportNode = 'raw';
const startTimeoutMs = 20_000;
const answerMs = 2_000;
/** How long a daemon may take to end an export with all its requests; then it is killed. */
const cutMs = 2_000;
const killMs = 10_000;
const lookEveryMs = 500;
/** Below the ports that the kernel gives to outgoing connections, which could take one while a daemon restarts. */
const firstPort = 21_000;
const ports = 4_000;
const portTries = 20;

/** The daemon of an export, or null. */
export async function findDaemon(paths: ExportPaths): Promise<ProcessIdentity | null> {
  const isOf = (words: readonly string[]): boolean => words.includes(paths.pidFile) && !words.includes('flock');
  const pid = await readPidFile(paths.pidFile);
  if (pid !== null && isOf(await commandLineOf(pid))) return identifyProcess(pid);
  return (await findProcesses(isOf))[0] ?? null;
}

export interface DaemonAsk {
  readonly owner: OwnerToken;
  readonly file: string;
  readonly format: DiskFormat;
  readonly sizeBytes: number;
  /** The run is on this host. */
  readonly local: boolean;
  readonly underlay: string;
}

/** Where the daemon listens: null is its door. */
export type DaemonAddress = { readonly host: string; readonly port: number } | null;

/** Starts the daemon of an export. @throws fault `export_failed`, `export_address_busy`, and by errno */
export async function startDaemon(site: DataplaneSite, paths: ExportPaths, ask: DaemonAsk): Promise<DaemonAddress> {
  await makeExportFolder(site, paths, ask.owner);
  await writeFile(paths.sizeFile, String(ask.sizeBytes));
  if (ask.local) {
    await launch(site, paths, ask, { type: 'unix', path: paths.door });
    // The QEMU that connects is no user of this host; nobody else can reach the folder.
    await chmod(paths.door, 0o666);
    return null;
  }
  await writeKey(site, paths);
  const had = Number((await readTextFile(paths.portFile)) ?? 0);
  const first = had || firstPort + (hashOf(paths.id) % ports);
  for (let tries = 0; ; tries += 1) {
    const port = firstPort + ((first - firstPort + tries) % ports);
    try {
      await launch(site, paths, ask, { type: 'inet', host: ask.underlay, port: String(port) });
      await writeFile(paths.portFile, String(port));
      return { host: ask.underlay, port };
    } catch (error) {
      // A client that is connected finds the export where it was, or not at all.
      const busy = error instanceof PhotonError && error.record.code === 'export_address_busy';
      if (!busy || had !== 0 || tries === portTries) throw error;
    }
  }
}

const hashOf = (text: string): number => Buffer.from(text).reduce((hash, byte) => (hash * 31 + byte) >>> 0, 7);

/** Where a daemon that runs listens. */
export async function addressOf(paths: ExportPaths, ask: DaemonAsk): Promise<DaemonAddress> {
  if (ask.local) return null;
  return { host: ask.underlay, port: Number((await readTextFile(paths.portFile)) ?? 0) };
}

async function writeKey(site: DataplaneSite, paths: ExportPaths): Promise<void> {
  const key = site.options.exportKey(await exportName(paths));
  try {
    await writeKeyFolder(paths.keys, key);
  } catch (error) {
    throw fileError(`giving export ${paths.id} its key`, error);
  }
}

type ListenAddress =
  | { readonly type: 'unix'; readonly path: string }
  | { readonly type: 'inet'; readonly host: string; readonly port: string };

async function daemonArguments(paths: ExportPaths, ask: DaemonAsk, address: ListenAddress): Promise<string[]> {
  const file = { driver: 'file', 'node-name': 'file', filename: ask.file, discard: 'unmap', aio: 'threads' };
  const disk = { driver: ask.format, 'node-name': exportNode, file: 'file', discard: 'unmap' };
  const isFar = address.type === 'inet';
  const key = keyObject('key', 'server', paths.keys);
  const server = { addr: address, 'max-connections': 8, ...(isFar ? { 'tls-creds': 'key' } : {}) };
  const name = await exportName(paths);
  return [
    ['--pidfile', paths.pidFile],
    ['--chardev', `socket,id=agent,path=${paths.agentSocket},server=on,wait=off`],
    ['--monitor', 'chardev=agent'],
    ['--blockdev', JSON.stringify(file)],
    ['--blockdev', JSON.stringify(disk)],
    isFar ? ['--object', JSON.stringify(key)] : [],
    ['--nbd-server', JSON.stringify(server)],
    ['--export', JSON.stringify({ type: 'nbd', id: exportId, 'node-name': exportNode, name, writable: true })],
  ].flat();
}

async function launch(site: DataplaneSite, paths: ExportPaths, ask: DaemonAsk, address: ListenAddress): Promise<void> {
  const what = `serving volume ${paths.volumeUid} to run ${paths.runEpoch}`;
  const daemon = [qemuProgram(site, 'qemu-storage-daemon'), ...(await daemonArguments(paths, ask, address))];
  const plain = ['--no-new-privs', '--bounding-set=-all', '--inh-caps=-all'];
  const args = [...plain, 'flock', '-n', '--no-fork', paths.lock, ...daemon];
  const started = await startProgram({ program: 'setpriv', args, what });
  let over = false;
  try {
    const ended = started.ended.then((end) => ({ stderr: end.stderr || end.how }));
    const outcome = await Promise.race([ended, answers(paths, () => over)]);
    if (outcome !== 'answers' && outcome !== 'silent') throw kernelError(what, outcome.stderr, exportErrors);
    if (outcome === 'silent') throw exportFailed(paths.id, `it did not answer within ${startTimeoutMs} ms`);
  } finally {
    over = true;
    started.release();
  }
}

/** The export is made before the daemon greets. */
async function answers(paths: ExportPaths, isOver: () => boolean): Promise<'answers' | 'silent'> {
  const endMs = performance.now() + startTimeoutMs;
  while (performance.now() < endMs && !isOver()) {
    try {
      (await QmpClient.connect(paths.agentSocket, answerMs)).close();
      return 'answers';
    } catch (error) {
      if (!(error instanceof PhotonError)) throw error;
    }
    await pause(20);
  }
  return 'silent';
}

/** Ends an export. @returns whether there was one @throws fault `export_uncut` */
export async function cutExport(paths: ExportPaths): Promise<boolean> {
  const was = await endDaemon(paths);
  await removeExportFolder(paths);
  return was;
}

/** The folder stays, and with it the address. @throws fault `export_uncut` */
export async function endDaemon(paths: ExportPaths): Promise<boolean> {
  const daemon = await findDaemon(paths);
  if (daemon !== null) {
    if (await deleteExport(paths)) await signalProcess(daemon, 'SIGTERM');
    else await signalProcess(daemon, 'SIGKILL');
    if (!(await awaitGone(daemon, cutMs))) await signalProcess(daemon, 'SIGKILL');
    if (!(await awaitGone(daemon, killMs))) throw exportUncut(paths.id, daemon.pid);
  }
  return daemon !== null;
}

/** Whether the daemon has said in time that the export is gone; its answer to the order says nothing of requests. */
async function deleteExport(paths: ExportPaths): Promise<boolean> {
  let client: QmpClient | undefined;
  try {
    const connected = await QmpClient.connect(paths.agentSocket, cutMs);
    client = connected;
    const gone = new Promise<true>((resolve) => {
      connected.onEvent(({ event, data }) => {
        if (event === 'BLOCK_EXPORT_DELETED' && data['id'] === exportId) resolve(true);
      });
    });
    await connected.execute('block-export-del', { id: exportId, mode: 'hard' }, cutMs);
    return await Promise.race([gone, pause(cutMs, false)]);
  } catch (error) {
    if (!(error instanceof PhotonError)) throw error;
    return false;
  } finally {
    client?.close();
  }
}

/** Resolves when the daemon has ended. */
export async function awaitDaemonEnd(paths: ExportPaths, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const daemon = await findDaemon(paths);
    if (daemon === null) return;
    while (await isStillRunning(daemon)) await pause(lookEveryMs, undefined, { signal });
  }
}
