/**
 * The process that serves a volume to one run: a qemu-storage-daemon with one export. It holds a lock, so that there
 * are never two for one run, and no capability. A run of this host comes by a socket; one of another host by TCP, and
 * proves with the key of the export that it is that run (docs/decisions/0020-key-of-an-export.md).
 * Called by export-operations.ts under the volume's lock. Promise (docs/threats.md#t81): `cutExport` resolves when the
 * daemon has said that the export is gone, with every request that it had begun, and is itself gone; or when it was
 * killed and is gone. Nothing else counts as cut.
 *
 * The daemon writes in threads and not with io_uring, whose requests may outlive the process; so a process that is
 * gone has no write on its way. A run of another host goes on when this one is started again: so each of its writes is
 * on the disk before it is answered, and the export is served again by the same name at the same port
 * (export-record.ts). A run of this host ends with it, and its guest flushes what is to last, as with any disk.
 */
import { chmod, writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { DiskFormat, DiskSource, OwnerToken } from '@photoncloud/machines/values/wiring';
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
import { keyObject, writeKeyFolder } from '../tls-key.ts';
import { exportPorts } from '../underlay-ports.ts';
import { exportErrors, exportFailed, exportUncut } from './export-errors.ts';
import { freshName, makeExportFolder, removeExportFolder, type ExportPaths } from './export-folder.ts';
import { readRecord, recordedPorts, syncBytes, writeRecord } from './export-record.ts';

const exportId = 'volume';
/** The disk that a daemon serves, for its monitor. */
export const exportNode = 'raw';
const startTimeoutMs = 20_000;
const answerMs = 2_000;
/** How long a daemon may take to end an export with all its requests; then it is killed. */
const cutMs = 2_000;
const killMs = 10_000;
const lookEveryMs = 500;
const firstPort = exportPorts.first;
const ports = exportPorts.last - firstPort + 1;
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

/** Starts the daemon of an export. @throws fault `export_failed`, `export_address_busy`, and by errno */
export async function startDaemon(site: DataplaneSite, paths: ExportPaths, ask: DaemonAsk): Promise<void> {
  await makeExportFolder(site, paths, ask.owner);
  await writeFile(paths.sizeFile, String(ask.sizeBytes));
  if (!ask.local) return startFar(site, paths, ask);
  await launch(site, paths, ask, { name: await freshName(paths), address: { type: 'unix', path: paths.door } });
  // The QEMU that connects is no user of this host; nobody else can reach the folder.
  await chmod(paths.door, 0o666);
}

async function startFar(site: DataplaneSite, paths: ExportPaths, ask: DaemonAsk): Promise<void> {
  await syncBytes(ask.file);
  const known = await readRecord(site, paths);
  const name = known?.name ?? (await freshName(paths));
  await writeKey(site, paths, name);
  for (const port of known === null ? await freePorts(site, paths) : [known.port]) {
    try {
      await launch(site, paths, ask, { name, address: { type: 'inet', host: ask.underlay, port: String(port) } });
      // Before anybody is told.
      if (known === null) await writeRecord(site, paths, { name, port });
      return;
    } catch (error) {
      // A client that is connected finds the export where it was, or not at all.
      const isBusy = error instanceof PhotonError && error.record.code === 'export_address_busy';
      if (!isBusy || known !== null) throw error;
    }
  }
  throw exportFailed(paths.id, `${portTries} ports of ${ask.underlay} that it tried are in use`);
}

/** None that another run looks for: its export may be away only for now. */
async function freePorts(site: DataplaneSite, paths: ExportPaths): Promise<readonly number[]> {
  const taken = await recordedPorts(site);
  const first = hashOf(paths.id);
  return Array.from({ length: ports }, (_, tries) => firstPort + ((first + tries) % ports))
    .filter((port) => !taken.has(port))
    .slice(0, portTries);
}

const hashOf = (text: string): number => Buffer.from(text).reduce((hash, byte) => (hash * 31 + byte) >>> 0, 7);

/** Where a run finds its export; null when no daemon was started for it under this name. */
export async function sourceOf(site: DataplaneSite, paths: ExportPaths, ask: DaemonAsk): Promise<DiskSource | null> {
  if (ask.local) return { kind: 'nbd', export: await freshName(paths), address: null };
  const record = await readRecord(site, paths);
  if (record === null) return null;
  return { kind: 'nbd', export: record.name, address: { host: ask.underlay, port: record.port } };
}

async function writeKey(site: DataplaneSite, paths: ExportPaths, name: string): Promise<void> {
  try {
    await writeKeyFolder(paths.keys, site.options.exportKey(name));
  } catch (error) {
    throw fileError(`giving export ${paths.id} its key`, error);
  }
}

interface Entrance {
  /** What clients ask for. */
  readonly name: string;
  readonly address:
    | { readonly type: 'unix'; readonly path: string }
    | { readonly type: 'inet'; readonly host: string; readonly port: string };
}

function daemonArguments(paths: ExportPaths, ask: DaemonAsk, { name, address }: Entrance): string[] {
  const file = { driver: 'file', 'node-name': 'file', filename: ask.file, discard: 'unmap', aio: 'threads' };
  const disk = { driver: ask.format, 'node-name': exportNode, file: 'file', discard: 'unmap' };
  const isFar = address.type === 'inet';
  const key = keyObject('key', 'server', paths.keys);
  const server = { addr: address, 'max-connections': 8, ...(isFar ? { 'tls-creds': 'key' } : {}) };
  const served = { type: 'nbd', id: exportId, 'node-name': exportNode, name, writable: true, writethrough: isFar };
  return [
    ['--pidfile', paths.pidFile],
    ['--chardev', `socket,id=agent,path=${paths.agentSocket},server=on,wait=off`],
    ['--monitor', 'chardev=agent'],
    ['--blockdev', JSON.stringify(file)],
    ['--blockdev', JSON.stringify(disk)],
    isFar ? ['--object', JSON.stringify(key)] : [],
    ['--nbd-server', JSON.stringify(server)],
    ['--export', JSON.stringify(served)],
  ].flat();
}

async function launch(site: DataplaneSite, paths: ExportPaths, ask: DaemonAsk, entrance: Entrance): Promise<void> {
  const what = `serving volume ${paths.volumeUid} to run ${paths.runEpoch}`;
  const daemon = [qemuProgram(site, 'qemu-storage-daemon'), ...daemonArguments(paths, ask, entrance)];
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
