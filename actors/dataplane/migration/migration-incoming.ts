/**
 * The target of a migration: a QEMU with the same machine, started paused, that listens for the memory and, for local
 * volumes, serves their files to the source's mirrors over NBD. Called by migration-operations.ts.
 * Promise: only who has the key of the migration gets a connection; when `awaitIncoming` resolves nobody but this QEMU
 * writes the files any more.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { slotted } from '@photoncloud/machines/values/device-slots';
import { type IncomingDoor } from '@photoncloud/machines/values/wiring';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { z } from 'zod';
import type { IncarnationRef, IncarnationStarted } from '../contract/incarnation-contract.ts';
import type { IncomingRun } from '../contract/migration-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { pathsOf } from '../hypervisor/qemu-folder.ts';
import { qmpAnswerMs } from '../hypervisor/qemu-session.ts';
import type { IncarnationSessions } from '../hypervisor/qemu-session.ts';
import { startQemu } from '../hypervisor/qemu-start.ts';
import { sleepOr } from '../hypervisor/qemu-watch.ts';
import type { QmpClient } from '../hypervisor/qmp-client.ts';
import { fileError } from '../kernel-errors.ts';
import { migrationPorts } from '../underlay-ports.ts';
import { checkUid } from '../wiring-checks.ts';
import { migrationFailed } from './migration-errors.ts';
import { allowing, giveKey, keyId, settle, takeKey } from './migration-settings.ts';

const incomingSchema = z.object({
  status: z.string().default('none'),
  'error-desc': z.string().default(''),
  'socket-address': z.array(z.object({ port: z.string().default('0') })).default([]),
});
const exportsSchema = z.array(z.object({ 'node-name': z.string().default('') }));

const lookEveryMs = 200;

const readIncoming = async (client: QmpClient): Promise<z.infer<typeof incomingSchema>> =>
  incomingSchema.parse(await client.execute('query-migrate', {}, qmpAnswerMs));

const portOf = ({ 'socket-address': [listening] }: z.infer<typeof incomingSchema>): number | null =>
  listening === undefined ? null : Number(listening.port);

export async function receiveRun(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  spec: IncomingRun,
  era: number,
): Promise<IncarnationStarted & IncomingDoor> {
  const { migration, listen, mirrors } = spec.incoming;
  checkUid('incoming.migration', migration);
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(listen))
    throw new PhotonError('defeat', 'spec_invalid', 'incoming.listen must be an IPv4 address of this host.');
  const started = await startQemu(site, sessions, spec, era);
  const paths = pathsOf(site, spec.owner);
  const client = await sessions.client(paths);
  let port = portOf(await readIncoming(client));
  const nodes = slotted(spec.disks).flatMap(([slot, { volume }]) => (mirrors.includes(volume) ? [`d${slot}`] : []));
  if (port === null) {
    await giveKey(site, paths, client, migration, 'server');
    await settle(client, false);
    if (nodes.length > 0) await serve(client, listen, nodes);
    // The first of them that is free, as QEMU looks for it.
    const { first, last } = migrationPorts;
    await client.execute('migrate-incoming', { uri: `tcp:${listen}:${first},to=${last}` });
    port = portOf(await readIncoming(client));
  }
  if (port === null) throw migrationFailed(spec.owner.actor, 'its target does not listen');
  const others = (await listeningPorts(started.pid)).filter((one) => one !== port);
  const mirrorPort = nodes.length === 0 ? null : (others[0] ?? null);
  if (nodes.length > 0 && mirrorPort === null)
    throw migrationFailed(spec.owner.actor, 'its target does not serve its volumes');
  return { ...started, host: site.options.host, address: listen, port, mirrorPort };
}

/** Offers the files of local volumes for writing, to the mirrors of the source. */
async function serve(client: QmpClient, address: string, nodes: readonly string[]): Promise<void> {
  const door = { type: 'inet', data: { host: address, port: String(migrationPorts.first), to: migrationPorts.last } };
  const server = { addr: door, 'tls-creds': keyId, 'max-connections': nodes.length };
  await allowing(/already running/i, client.execute('nbd-server-start', server));
  const served = exportsSchema.parse(await client.execute('query-block-exports', {}, qmpAnswerMs));
  for (const node of nodes.filter((one) => !served.some((each) => each['node-name'] === one)))
    await client.execute('block-export-add', { type: 'nbd', id: node, 'node-name': node, name: node, writable: true });
}

/** TCP ports on which the process listens. */
async function listeningPorts(pid: number): Promise<readonly number[]> {
  try {
    const table = await readFile(`/proc/${pid}/net/tcp`, 'utf8');
    const links = await Promise.all(
      (await readdir(`/proc/${pid}/fd`)).map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')),
    );
    const sockets = new Set(links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []));
    const rows = table.split('\n').map((line) => line.trim().split(/\s+/));
    return rows
      .filter(([, , , state, , , , , , inode]) => state === '0A' && sockets.has(inode ?? ''))
      .map(([, local = '']) => Number.parseInt(local.split(':')[1] ?? '', 16));
  } catch (error) {
    throw fileError(`reading the sockets of process ${pid}`, error);
  }
}

/** @param attempt runs one change of the run under its lock and fence */
export async function awaitIncoming(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  { owner }: IncarnationRef,
  attempt: (work: () => Promise<void>) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const paths = pathsOf(site, owner);
  let forget = (): unknown => undefined;
  try {
    for (;;) {
      signal.throwIfAborted();
      const client = await sessions.client(paths);
      let wake = (): void => {};
      const soon = new Promise<void>((resolve) => {
        wake = resolve;
      });
      forget();
      forget = client.onEvent(({ event }) => event === 'MIGRATION' && wake());
      const { status, 'error-desc': why } = await readIncoming(client);
      if (status === 'failed') throw migrationFailed(owner.actor, why);
      if (status === 'completed' && (await sessions.status(paths)) !== 'inmigrate')
        return await attempt(async () => {
          await allowing(/not running/i, client.execute('nbd-server-stop'));
          await takeKey(paths, client);
        });
      await sleepOr(soon, lookEveryMs, signal);
    }
  } finally {
    forget();
  }
}
