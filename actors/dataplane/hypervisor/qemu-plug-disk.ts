/**
 * Disks that are plugged into a QEMU that runs. QEMU opens nothing by name: of a local volume it gets a descriptor, to
 * an export on this host leads a socket in its empty folder, and for one on another host it finds a key there.
 * Called by qemu-plug.ts, and by qemu-start.ts for the check.
 */
import { open, rm } from 'node:fs/promises';
import path from 'node:path';
import { slotted } from '@photoncloud/machines/values/device-slots';
import type { IncarnationDisk } from '@photoncloud/machines/values/wiring';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { z } from 'zod';
import type { DataplaneSite } from '../dataplane-site.ts';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { allowing } from '../migration/migration-settings.ts';
import { readTextFile } from '../storage-files.ts';
import { writeKeyFolder } from '../tls-key.ts';
import { replicaPath } from '../volume/replica-paths.ts';
import { checkCount, checkUid } from '../wiring-checks.ts';
import { bytesNode, diskDevice, diskKey, formatNode, rootPort, type DiskParts } from './qemu-arguments.ts';
import { giveFile } from './qemu-descriptors.ts';
import { openDoor } from './qemu-doors.ts';
import { fileMissing } from './qemu-errors.ts';
import { keptDisk, type IncarnationPaths } from './qemu-folder.ts';
import type { DeviceBay } from './qemu-plug.ts';
import type { QemuRun } from './qemu-resize.ts';
import { qmpAnswerMs } from './qemu-session.ts';
import type { QmpClient } from './qmp-client.ts';

const openMs = 10_000;

const nodesSchema = z.array(z.object({ 'node-name': z.string().default('') }));
const setsSchema = z.array(
  z.object({ 'fdset-id': z.int(), fds: z.array(z.object({ opaque: z.string().default('') })) }),
);

/** @throws defeat `spec_invalid` */
export function checkDisks(disks: readonly IncarnationDisk[], slots: number): void {
  slotted(disks).forEach(([slot, disk], index) => {
    checkUid(`disks.${index}.volumeUid`, disk.volumeUid);
    if (!/^[a-zA-Z0-9]{1,20}$/.test(disk.serial))
      throw new PhotonError('defeat', 'spec_invalid', `disks.${index}.serial must be 1 to 20 letters and digits.`);
    checkCount(`disks.${index}.slot`, slot, 0, slots - 1);
  });
}

export class DiskBay implements DeviceBay {
  readonly kind = 'disk';
  readonly wanted: DeviceBay['wanted'];
  readonly #site: DataplaneSite;
  readonly #paths: IncarnationPaths;
  readonly #client: QmpClient;
  /** Whether the run boots from its disks. */
  readonly #boots: boolean;

  constructor(site: DataplaneSite, { paths, client }: QemuRun, disks: readonly IncarnationDisk[], boots: boolean) {
    this.#site = site;
    this.#paths = paths;
    this.#client = client;
    this.#boots = boots;
    this.wanted = slotted(disks).map(([slot, disk]) => ({
      kept: keptDisk(slot, disk),
      plug: () => this.#plug(slot, disk),
    }));
  }

  async #plug(slot: number, disk: IncarnationDisk) {
    const { emptyFolder } = this.#paths;
    const client = this.#client;
    // What an attempt has left that did not end.
    await this.close(slot);
    const plain: DiskParts = { filename: '', emptyFolder, keyDir: `/key${slot}`, boots: this.#boots };
    const filename = (disk.source ?? null) === null ? await this.#giveFile(slot, disk) : '';
    await this.#openWay(slot, disk, plain);
    await client.execute('blockdev-add', bytesNode(disk, slot, { ...plain, filename }), openMs);
    await this.#dropDescriptors(slot);
    await client.execute('blockdev-add', formatNode(disk, slot), openMs);
    await client.execute('device_add', diskDevice(disk, slot, rootPort(slot), plain), openMs);
    return 'plugged' as const;
  }

  /** @returns the name under which QEMU opens it */
  async #giveFile(slot: number, { volume, volumeUid, format }: IncarnationDisk): Promise<string> {
    const file = replicaPath(this.#site.folders.volumes, volumeUid, format);
    try {
      const handle = await open(file, 'r+');
      try {
        return await giveFile(this.#paths, handle.fd, `disk${slot}`);
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

  /** Its nodes, its key, and its descriptor. */
  async close(slot: number): Promise<void> {
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
