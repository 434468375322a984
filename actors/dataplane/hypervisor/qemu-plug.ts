/**
 * Plugs disks into a QEMU whose guest runs, and takes them away, each on a root port of its own. QEMU opens nothing by
 * name: of a local volume it gets a descriptor, to an export on this host leads a socket in its empty folder, and for
 * one on another host it finds a key there. To take a disk away is a request that the guest answers when it likes;
 * until then QEMU keeps the disk. Called by qemu-operations.ts.
 * Promise: whatever crashed before, QEMU is asked what it has, and each step is made or found done. A disk is recorded
 * before QEMU is told of it, and the record goes after QEMU has closed its bytes. A guest that was asked to release a
 * disk may do so at any later time: so a disk that is wanted back leaves first, and is plugged anew.
 */
import { open, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { slotted, type DiskStanding } from '@photoncloud/machines/values/disk-slots';
import type { Failure } from '@photoncloud/machines/values/failures';
import type { IncarnationDisk } from '@photoncloud/machines/values/wiring';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { z } from 'zod';
import type { DiskPlug } from '../contract/incarnation-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { allowing } from '../migration/migration-settings.ts';
import { readTextFile } from '../storage-files.ts';
import { writeKeyFolder } from '../tls-key.ts';
import { replicaPath } from '../volume/replica-paths.ts';
import { checkCount, checkUid } from '../wiring-checks.ts';
import { bytesNode, diskDevice, diskKey, formatNode, rootPort, type DiskParts } from './qemu-arguments.ts';
import { giveDescriptor } from './qemu-descriptors.ts';
import { openDoor } from './qemu-doors.ts';
import { fileMissing, plugUnsupported } from './qemu-errors.ts';
import { keepDisks, keptDisk, readDisks, type IncarnationPaths, type KeptDisk } from './qemu-folder.ts';
import { qmpAnswerMs } from './qemu-session.ts';
import type { QemuRun } from './qemu-resize.ts';
import type { QmpClient } from './qmp-client.ts';

/** A guest with a system answers within some 0.2 s; one that takes longer is asked again by who waits for it. */
const releaseWithinMs = 4_000;
const lookEveryMs = 100;
const openMs = 10_000;

/** The names under which QEMU opens descriptors that it was given. */
export const descriptorSets = '/dev/fdset/';

const namesSchema = z.array(z.object({ name: z.string() }));
const nodesSchema = z.array(z.object({ 'node-name': z.string().default('') }));
const setSchema = z.object({ 'fdset-id': z.int() });
const setsSchema = z.array(
  z.object({ 'fdset-id': z.int(), fds: z.array(z.object({ opaque: z.string().default('') })) }),
);

/** The names of what has an id in QEMU: disks, root ports. */
async function readDevices(client: QmpClient): Promise<readonly string[]> {
  const answer = await client.execute('qom-list', { path: '/machine/peripheral' }, qmpAnswerMs);
  return namesSchema.parse(answer).map(({ name }) => name);
}

/** Without the one of the seed disk. */
export async function readDiskSlots(client: QmpClient): Promise<number> {
  const ports = (await readDevices(client)).filter((name) => /^slot\d+$/.test(name));
  return Math.max(0, ports.length - 1);
}

/** @throws defeat `spec_invalid` */
export function checkDisks(disks: readonly IncarnationDisk[], slots: number): void {
  slotted(disks).forEach(([slot, disk], index) => {
    checkUid(`disks.${index}.volumeUid`, disk.volumeUid);
    if (!/^[a-zA-Z0-9]{1,20}$/.test(disk.serial))
      throw new PhotonError('defeat', 'spec_invalid', `disks.${index}.serial must be 1 to 20 letters and digits.`);
    checkCount(`disks.${index}.slot`, slot, 0, slots - 1);
  });
}

/**
 * @param attempt runs one change of the run under its lock and fence
 * @returns what the run has of the disks, and of those that it still has although it should not
 * @throws defeat `plug_unsupported`, `spec_invalid`; unknown `qmp_timeout`
 */
export async function plugDisks(
  site: DataplaneSite,
  ask: DiskPlug,
  attempt: (work: (run: QemuRun) => Promise<readonly DiskStanding[]>) => Promise<readonly DiskStanding[]>,
  signal: AbortSignal,
): Promise<readonly DiskStanding[]> {
  const endMs = performance.now() + releaseWithinMs;
  for (let isFirst = true; ; isFirst = false) {
    const standings = await attempt((run) => new Plugging(site, ask, run).step(isFirst));
    if (standings.every(({ standing }) => standing !== 'leaving') || performance.now() > endMs) return standings;
    await pause(lookEveryMs, undefined, { signal });
  }
}

class Plugging {
  readonly #site: DataplaneSite;
  readonly #ask: DiskPlug;
  readonly #paths: IncarnationPaths;
  readonly #client: QmpClient;

  constructor(site: DataplaneSite, ask: DiskPlug, { paths, client }: QemuRun) {
    this.#site = site;
    this.#ask = ask;
    this.#paths = paths;
    this.#client = client;
  }

  /** @param asks the guest to release what it should; asked again at once, it might take that for a withdrawal */
  async step(asks: boolean): Promise<readonly DiskStanding[]> {
    const { incarnation, disks } = this.#ask;
    const slots = await readDiskSlots(this.#client);
    if (slots === 0) throw plugUnsupported(incarnation.owner.actor);
    checkDisks(disks, slots);
    const wanted = slotted(disks);
    const isWanted = ({ uid, slot }: KeptDisk): boolean =>
      wanted.some(([at, { volumeUid }]) => at === slot && volumeUid === uid);
    const leaving: KeptDisk[] = [];
    for (const kept of await readDisks(this.#paths))
      if ((kept.leaving || !isWanted(kept)) && !(await this.#release(kept, asks))) leaving.push(kept);
    const standings: DiskStanding[] = [];
    for (const [slot, disk] of wanted) {
      const isLeaving = leaving.some((kept) => kept.slot === slot);
      const error = isLeaving ? null : await this.#tryPlug(slot, disk);
      standings.push({
        volume: disk.volume,
        standing: isLeaving ? 'leaving' : error === null ? 'plugged' : 'failed',
        error,
      });
    }
    const others = leaving.filter((kept) => !standings.some(({ volume }) => volume === kept.volume));
    return [...standings, ...others.map(({ volume }) => ({ volume, standing: 'leaving', error: null }) as const)];
  }

  /** @returns whether QEMU has closed its bytes */
  async #release(kept: KeptDisk, asks: boolean): Promise<boolean> {
    const { slot } = kept;
    if ((await readDevices(this.#client)).includes(`disk${slot}`)) {
      if (!kept.leaving) await this.#keep(slot, { ...kept, leaving: true });
      const request = { id: `disk${slot}` };
      if (asks) await allowing(/in the process of unplug|not found/i, this.#client.execute('device_del', request));
      if ((await readDevices(this.#client)).includes(`disk${slot}`)) return false;
    }
    await this.#close(slot);
    await this.#keep(slot, null);
    return true;
  }

  async #keep(slot: number, disk: KeptDisk | null): Promise<void> {
    const others = (await readDisks(this.#paths)).filter((one) => one.slot !== slot);
    await keepDisks(this.#paths, disk === null ? others : [...others, disk]);
  }

  /** What could not be plugged leaves nothing. @throws what is unknown */
  async #tryPlug(slot: number, disk: IncarnationDisk): Promise<Failure | null> {
    try {
      if (!(await readDevices(this.#client)).includes(`disk${slot}`)) await this.#plug(slot, disk);
      return null;
    } catch (error) {
      if (!(error instanceof PhotonError) || !['fault', 'defeat'].includes(error.record.group)) throw error;
      await this.#close(slot);
      await this.#keep(slot, null);
      const { code, message, group } = error.record;
      return { code, message, retryable: group === 'fault' };
    }
  }

  async #plug(slot: number, disk: IncarnationDisk): Promise<void> {
    const { emptyFolder } = this.#paths;
    const client = this.#client;
    await this.#keep(slot, keptDisk(slot, disk));
    // What an attempt has left that did not end.
    await this.#close(slot);
    const boots = this.#ask.incarnation.boot === null;
    const plain: DiskParts = { filename: '', emptyFolder, keyDir: `/key${slot}`, boots };
    const filename = (disk.source ?? null) === null ? await this.#giveFile(slot, disk) : '';
    await this.#openWay(slot, disk, plain);
    await client.execute('blockdev-add', bytesNode(disk, slot, { ...plain, filename }), openMs);
    await this.#dropDescriptors(slot);
    await client.execute('blockdev-add', formatNode(disk, slot), openMs);
    await client.execute('device_add', diskDevice(disk, slot, rootPort(slot), plain), openMs);
  }

  /** @returns the name under which QEMU opens it */
  async #giveFile(slot: number, { volume, volumeUid, format }: IncarnationDisk): Promise<string> {
    const file = replicaPath(this.#site.folders.volumes, volumeUid, format);
    try {
      const handle = await open(file, 'r+');
      try {
        const given = await giveDescriptor(this.#paths, handle.fd, 'add-fd', { opaque: `disk${slot}` });
        return `${descriptorSets}${setSchema.parse(given)['fdset-id']}`;
      } finally {
        await handle.close();
      }
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') throw fileMissing('disk_missing', `The replica of ${volume}`);
      throw error instanceof PhotonError ? error : fileError(`opening ${volume}`, error);
    }
  }

  /** To an export: the socket, or the key. */
  async #openWay(slot: number, disk: IncarnationDisk, parts: DiskParts): Promise<void> {
    const { volume, source = null } = disk;
    if (source === null) return;
    try {
      if (source.address === null) return await openDoor(this.#site, this.#paths, volume, source);
      const user = Number(await readTextFile(this.#paths.uidFile));
      await writeKeyFolder(this.#keyFolder(slot), this.#site.options.exportKey(source.export), user);
    } catch (error) {
      throw fileError(`giving a guest ${volume}`, error);
    }
    const key = diskKey(disk, slot, parts);
    if (key !== null) await this.#client.execute('object-add', key, openMs);
    await this.#removeFile(this.#keyFolder(slot));
  }

  readonly #keyFolder = (slot: number): string => path.join(this.#paths.emptyFolder, `key${slot}`);

  async #removeFile(file: string): Promise<void> {
    try {
      await rm(file, { recursive: true, force: true });
    } catch (error) {
      throw fileError(`removing ${path.basename(file)}`, error);
    }
  }

  /** Of a slot without a disk: its nodes, its key, and its descriptor. */
  async #close(slot: number): Promise<void> {
    const nodes = nodesSchema.parse(await this.#client.execute('query-named-block-nodes', { flat: true }, qmpAnswerMs));
    for (const name of [`d${slot}`, `f${slot}`])
      if (nodes.some((node) => node['node-name'] === name))
        await this.#client.execute('blockdev-del', { 'node-name': name }, openMs);
    await this.#dropDescriptors(slot);
    await allowing(/not found/i, this.#client.execute('object-del', { id: `key${slot}` }));
    await this.#removeFile(this.#keyFolder(slot));
  }

  /** Its block node has descriptors of its own. */
  async #dropDescriptors(slot: number): Promise<void> {
    const sets = setsSchema.parse(await this.#client.execute('query-fdsets', {}, qmpAnswerMs));
    for (const { 'fdset-id': id, fds } of sets)
      if (fds.some(({ opaque }) => opaque === `disk${slot}`))
        await allowing(/not found|No file descriptor/i, this.#client.execute('remove-fd', { 'fdset-id': id }));
  }
}
