/**
 * The source of a migration: mirrors local volumes to the target, sends the memory while the guest runs, stops the
 * guest, ends the mirrors and sends the rest. Called by migration-operations.ts. A record in the run's folder says that
 * it has begun, so that a worker that starts again goes on, and nobody resumes a guest that may run elsewhere.
 * Promise: when `sendRun` resolves the guest is stopped here, and its memory and volumes are complete on the target.
 *
 * A QEMU below 10 damages a guest that runs meanwhile, one below 10.0.9 may damage a mirrored volume: the guest is
 * stopped first, and the migration says so (docs/decisions/0019-key-of-a-migration.md).
 */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { slotted } from '@photoncloud/machines/values/device-slots';
import { methodFor } from '@photoncloud/machines/values/migration-limits';
import type { IncarnationSpec, MigrationProgress, OutgoingSpec } from '@photoncloud/machines/values/wiring';
import { describeCause } from '@photoncloud/runtime/contract/errors';
import { z } from 'zod';
import type { IncarnationSent } from '../contract/migration-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { fileError } from '../kernel-errors.ts';
import { thawLeft } from '../hypervisor/guest-freeze.ts';
import { pathsOf } from '../hypervisor/qemu-folder.ts';
import type { IncarnationPaths } from '../hypervisor/qemu-folder.ts';
import { qmpAnswerMs } from '../hypervisor/qemu-session.ts';
import type { IncarnationSessions } from '../hypervisor/qemu-session.ts';
import { sleepOr } from '../hypervisor/qemu-watch.ts';
import { sentAt, type QmpClient } from '../hypervisor/qmp-client.ts';
import { createFile, readTextFile } from '../storage-files.ts';
import { migrationFailed } from './migration-errors.ts';
import { readMovedFlows } from './moved-flows.ts';
import { allowing, downtimeLimitMs, giveKey, keyId, settle, takeKey } from './migration-settings.ts';

const statusSchema = z.object({
  status: z.string().default('none'),
  'error-desc': z.string().default(''),
  ram: z
    .object({
      total: z.number(),
      remaining: z.number(),
      transferred: z.number(),
      mbps: z.number().default(0),
      'dirty-pages-rate': z.number().default(0),
      'page-size': z.number().default(4096),
      /** Passes over the memory that were begun. */
      'dirty-sync-count': z.number().default(0),
    })
    .optional(),
});
const jobsSchema = z.array(
  z.object({ device: z.string(), len: z.number(), offset: z.number(), ready: z.boolean(), status: z.string() }),
);
const endedSchema = z.array(z.object({ id: z.string(), status: z.string(), error: z.string().optional() }));
const nodesSchema = z.array(z.object({ 'node-name': z.string().default('') }));

const recordSchema = z.object({
  migration: z.string(),
  method: z.enum(['live', 'stopped']),
  /** The memory is being sent. */
  begun: z.boolean(),
  pausedAt: z.number().nullable(),
});
type SendRecord = z.infer<typeof recordSchema>;

const lookEveryMs = 200;
const soonEvents: ReadonlySet<string> = new Set([
  'MIGRATION',
  'MIGRATION_PASS',
  'STOP',
  'JOB_STATUS_CHANGE',
  'BLOCK_JOB_READY',
]);
const busy: ReadonlySet<string> = new Set(['setup', 'active', 'pre-switchover', 'device', 'cancelling', 'wait-unplug']);

const recordFile = (paths: IncarnationPaths): string => path.join(paths.runFolder, 'sending');

/** Null when nothing of the run is being sent, or has been. */
export async function readRecord(paths: IncarnationPaths): Promise<SendRecord | null> {
  const text = await readTextFile(recordFile(paths));
  return text === undefined ? null : recordSchema.parse(JSON.parse(text));
}

const writeRecord = (paths: IncarnationPaths, record: SendRecord): Promise<void> =>
  createFile(recordFile(paths), async (_, handle) => handle.writeFile(JSON.stringify(record)));

const readSending = async (client: QmpClient): Promise<z.infer<typeof statusSchema>> =>
  statusSchema.parse(await client.execute('query-migrate', {}, qmpAnswerMs));
const readMirrors = async (client: QmpClient): Promise<z.infer<typeof jobsSchema>> =>
  jobsSchema.parse(await client.execute('query-block-jobs', {}, qmpAnswerMs)).filter(({ device }) => isMirror(device));

const isMirror = (job: string): boolean => /^mirror\d+$/.test(job);

/** Runs one change of the run under its lock and fence. */
export type Attempt = <Result>(work: () => Promise<Result>) => Promise<Result>;

export interface SendAsk {
  readonly spec: IncarnationSpec;
  readonly outgoing: OutgoingSpec;
}

export async function sendRun(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  ask: SendAsk,
  attempt: Attempt,
  signal: AbortSignal,
): Promise<IncarnationSent> {
  const sending = new Sending(site, sessions, ask);
  try {
    await sending.listen();
    await attempt(() => sending.begin());
    for (;;) {
      signal.throwIfAborted();
      const { soon } = await sending.listen();
      const sent = await attempt(() => sending.step());
      if (sent !== null) return sent;
      await sleepOr(soon, lookEveryMs, signal);
    }
  } finally {
    sending.close();
  }
}

class Sending {
  readonly #site: DataplaneSite;
  readonly #sessions: IncarnationSessions;
  readonly #spec: IncarnationSpec;
  readonly #outgoing: OutgoingSpec;
  readonly #paths: IncarnationPaths;
  #forget = (): unknown => undefined;
  /** Wall time of QEMU's event. */
  #stoppedAt: number | null = null;
  #flows: Promise<IncarnationSent['flows']> | undefined;
  /** What QEMU was told last. */
  #downtimeMs: number | undefined;

  constructor(site: DataplaneSite, sessions: IncarnationSessions, { spec, outgoing }: SendAsk) {
    this.#site = site;
    this.#sessions = sessions;
    this.#spec = spec;
    this.#outgoing = outgoing;
    this.#paths = pathsOf(site, spec.owner);
  }

  close(): void {
    this.#forget();
  }

  /** @returns what resolves at the next event that matters */
  async listen(): Promise<{ readonly soon: Promise<void> }> {
    const client = await this.#sessions.client(this.#paths);
    this.#forget();
    const soon = new Promise<void>((resolve) => {
      this.#forget = client.onEvent((heard) => {
        const { event } = heard;
        if (event === 'STOP') this.#stoppedAt ??= sentAt(heard);
        if (soonEvents.has(event)) resolve();
      });
      client.onClose(() => resolve());
    });
    return { soon };
  }

  async begin(): Promise<void> {
    const client = await this.#sessions.client(this.#paths);
    const { migration, mirrors } = this.#outgoing;
    const known = await readRecord(this.#paths);
    if (known?.migration === migration && known.begun) return;
    // Nobody would thaw it where it arrives.
    if (known === null && !(await thawLeft(this.#paths)))
      throw migrationFailed(
        this.#spec.owner.actor,
        'its guest was frozen for a snapshot and does not say that it has thawed',
      );
    const method = methodFor(client.version, mirrors.length);
    await writeRecord(this.#paths, { migration, method, begun: false, pausedAt: known?.pausedAt ?? null });
    await giveKey(this.#site, this.#paths, client, migration, 'client');
    await settle(client, this.#outgoing.throttle);
    if (method === 'stopped') await client.execute('stop');
    const jobs = await readMirrors(client);
    for (const [slot, disk] of slotted(this.#spec.disks))
      if (mirrors.includes(disk.volume) && !jobs.some(({ device }) => device === `mirror${slot}`))
        await this.#mirror(client, slot);
  }

  async #mirror(client: QmpClient, slot: number): Promise<void> {
    const { address, mirrorPort } = this.#outgoing.door;
    const server = { type: 'inet', host: address, port: String(mirrorPort) };
    const node = {
      driver: 'nbd',
      'node-name': `peer${slot}`,
      server,
      export: `d${slot}`,
      'tls-creds': keyId,
      // Holes stay holes.
      discard: 'unmap',
      'detect-zeroes': 'unmap',
    };
    await allowing(/duplicate|already/i, client.execute('blockdev-add', node, 10_000));
    await client.execute('blockdev-mirror', {
      'job-id': `mirror${slot}`,
      device: `d${slot}`,
      target: `peer${slot}`,
      sync: 'full',
      'copy-mode': 'write-blocking',
      // A job that has failed stays, with its reason.
      'auto-dismiss': false,
    });
  }

  /** The next step that is possible now. @returns null while it is not sent */
  async step(): Promise<IncarnationSent | null> {
    const client = await this.#sessions.client(this.#paths);
    const record = await readRecord(this.#paths);
    if (record === null) throw migrationFailed(this.#spec.owner.actor, 'the sending was ended');
    const { status, ram, 'error-desc': why } = await readSending(client);
    if (!record.begun || status === 'none') {
      if (await this.#areMirrored(client)) await this.#send(client, record);
      return null;
    }
    if (status === 'active') await this.#limitDowntime(client, ram?.['dirty-sync-count'] ?? 0);
    // The guest stands still: its connections are read while the rest is sent.
    if (status === 'pre-switchover') void this.#readFlows();
    if (status === 'pre-switchover') {
      await Promise.all([
        writeRecord(this.#paths, { ...record, pausedAt: record.pausedAt ?? this.#stoppedAt }),
        this.#endMirrors(client),
      ]);
      // QEMU may still say so for a moment after it was told to go on.
      const goesOn = client.execute('migrate-continue', { state: 'pre-switchover' });
      await allowing(/not in expected state/i, goesOn);
    }
    if (status === 'failed' || status === 'cancelled') throw migrationFailed(this.#spec.owner.actor, why);
    if (status !== 'completed') return null;
    await takeKey(this.#paths, client);
    const { method, pausedAt } = record;
    return { method, pausedAt, sentBytes: ram?.transferred ?? 0, flows: await this.#readFlows() };
  }

  /** Without them the guest goes on all the same, and its connections time out. */
  #readFlows(): Promise<IncarnationSent['flows']> {
    this.#flows ??= readMovedFlows(this.#site, this.#spec).catch((error: unknown) => {
      const fields = { part: 'dataplane', run: this.#spec.owner.actor, why: describeCause(error) };
      this.#site.options.log.warn(fields, 'the connections of a guest that moves could not be read');
      return [];
    });
    return this.#flows;
  }

  async #limitDowntime(client: QmpClient, pass: number): Promise<void> {
    const limit = downtimeLimitMs(pass, this.#outgoing.maxDowntimeMs);
    if (limit === this.#downtimeMs) return;
    await client.execute('migrate-set-parameters', { 'downtime-limit': limit });
    this.#downtimeMs = limit;
  }

  async #send(client: QmpClient, record: SendRecord): Promise<void> {
    await writeRecord(this.#paths, { ...record, begun: true });
    await this.#limitDowntime(client, 0);
    const { address, port } = this.#outgoing.door;
    await client.execute('migrate', { uri: `tcp:${address}:${port}` });
  }

  /** Whether every mirror has caught up; from then on the guest's writes go to both. */
  async #areMirrored(client: QmpClient): Promise<boolean> {
    await this.#requireMirrors(client);
    return (await readMirrors(client)).every(({ ready }) => ready);
  }

  /** @throws fault `migration_failed` when a mirror has ended by itself */
  async #requireMirrors(client: QmpClient): Promise<void> {
    const broken = (await endedMirrors(client)).find(({ error }) => error !== undefined);
    if (broken === undefined) return;
    const [, disk] = slotted(this.#spec.disks).find(([slot]) => broken.id === `mirror${slot}`) ?? [];
    throw migrationFailed(
      this.#spec.owner.actor,
      `${disk?.volume ?? 'a volume'} could not be mirrored: ${broken.error}`,
    );
  }

  /**
   * The guest is stopped: nothing is written any more, and both copies are the same. What is left of the mirrors goes
   * with this QEMU: the guest does not wait for that.
   */
  async #endMirrors(client: QmpClient): Promise<void> {
    await endMirrors(client, false);
    await this.#requireMirrors(client);
  }
}

const readJobs = async (client: QmpClient): Promise<z.infer<typeof endedSchema>> =>
  endedSchema.parse(await client.execute('query-jobs', {}, qmpAnswerMs)).filter(({ id }) => isMirror(id));
const hasEnded = ({ status }: { readonly status: string }): boolean => status === 'concluded';

const endedMirrors = async (client: QmpClient): Promise<z.infer<typeof endedSchema>> =>
  (await readJobs(client)).filter(hasEnded);

/** @param force without waiting for what is still to be written */
async function endMirrors(client: QmpClient, force: boolean): Promise<void> {
  for (const { device } of (await readMirrors(client)).filter((one) => !hasEnded(one)))
    await allowing(/not found|No active|cannot accept/i, client.execute('block-job-cancel', { device, force }));
  while (!(await readJobs(client)).every(hasEnded)) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Forgets the mirrors that have ended, and their connections. */
async function dropMirrors(client: QmpClient): Promise<void> {
  for (const { id } of await endedMirrors(client)) await client.execute('job-dismiss', { id });
  const nodes = nodesSchema.parse(await client.execute('query-named-block-nodes', { flat: true }, qmpAnswerMs));
  for (const node of nodes.map((one) => one['node-name']).filter((name) => /^peer\d+$/.test(name)))
    await allowing(/find node|not found/i, client.execute('blockdev-del', { 'node-name': node }));
}

export async function readOutgoing(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  owner: IncarnationSpec['owner'],
): Promise<MigrationProgress | null> {
  const paths = pathsOf(site, owner);
  const record = await readRecord(paths);
  if (record === null) return null;
  const client = await sessions.client(paths);
  const [{ status, ram }, jobs] = [await readSending(client), await readMirrors(client)];
  const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
  const memory = record.begun && ram !== undefined ? ram : { total: 0, remaining: 0, transferred: 0, mbps: 0 };
  const pages = ram === undefined ? 0 : ram['dirty-pages-rate'] * ram['page-size'];
  return {
    phase: !record.begun ? 'mirroring' : status === 'active' || status === 'setup' ? 'copying' : 'finishing',
    method: record.method,
    totalBytes: memory.total + sum(jobs.map(({ len }) => len)),
    remainingBytes: memory.remaining + sum(jobs.map(({ len, offset }) => len - offset)),
    sentBytes: memory.transferred + sum(jobs.map(({ offset }) => offset)),
    dirtyRate: pages,
    rate: Math.round((memory.mbps * 1e6) / 8),
  };
}

/** Ends the sending, however far it is; the guest goes on. */
export async function unsendRun(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  owner: IncarnationSpec['owner'],
): Promise<void> {
  const paths = pathsOf(site, owner);
  if ((await readRecord(paths)) === null) return;
  const client = await sessions.client(paths);
  while (busy.has((await readSending(client)).status)) {
    await client.execute('migrate_cancel');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await endMirrors(client, true);
  await dropMirrors(client);
  await takeKey(paths, client);
  if (['paused', 'postmigrate', 'finish-migrate'].includes(await sessions.status(paths)))
    await client.execute('cont', {}, 10_000);
  try {
    await rm(recordFile(paths), { force: true });
  } catch (error) {
    throw fileError(`forgetting the migration of ${owner.actor}`, error);
  }
}
