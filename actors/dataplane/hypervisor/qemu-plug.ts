/**
 * Plugs disks and NICs into a QEMU whose guest runs, and takes them away, each on a root port of its own; how QEMU gets
 * each is in qemu-plug-disk.ts and qemu-plug-nic.ts. To take one away is a request that the guest answers when it
 * likes; until then QEMU keeps it. Called by qemu-operations.ts.
 * Promise: whatever crashed before, QEMU is asked what it has, and each step is made or found done. A device is
 * recorded before QEMU is told of it, and the record goes after QEMU has closed its bytes or its tap. A guest that was
 * asked to release a device may do so at any later time: so one that is wanted back leaves first, and is plugged anew.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Standing } from '@photoncloud/machines/values/device-slots';
import type { Failure } from '@photoncloud/machines/values/failures';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { z } from 'zod';
import type { DevicePlug, DeviceStandings } from '../contract/incarnation-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { allowing } from '../migration/migration-settings.ts';
import { plugUnsupported } from './qemu-errors.ts';
import { keepDevices, readDevices, type DeviceKind, type IncarnationPaths, type KeptDevice } from './qemu-folder.ts';
import { checkDisks, DiskBay } from './qemu-plug-disk.ts';
import { checkNics, NicBay } from './qemu-plug-nic.ts';
import { qmpAnswerMs } from './qemu-session.ts';
import type { QemuRun } from './qemu-resize.ts';
import type { QmpClient } from './qmp-client.ts';

/** A guest with a system answers within some 0.2 s; one that takes longer is asked again by who waits for it. */
const releaseWithinMs = 4_000;
const lookEveryMs = 100;

const namesSchema = z.array(z.object({ name: z.string() }));

/** The names of what has an id in QEMU: disks, NICs, root ports. */
async function readNames(client: QmpClient): Promise<readonly string[]> {
  const answer = await client.execute('qom-list', { path: '/machine/peripheral' }, qmpAnswerMs);
  return namesSchema.parse(answer).map(({ name }) => name);
}

/** How many root ports it has for devices that come and go: without the one of the seed disk. */
export async function readSlots(client: QmpClient): Promise<{ readonly diskSlots: number; readonly nicSlots: number }> {
  const names = await readNames(client);
  const count = (ports: RegExp): number => names.filter((name) => ports.test(name)).length;
  return { diskSlots: Math.max(0, count(/^slot\d+$/) - 1), nicSlots: count(/^nicslot\d+$/) };
}

/** The devices of one kind that a run is to have. */
export interface DeviceBay {
  readonly kind: DeviceKind;
  readonly wanted: readonly {
    readonly kept: KeptDevice;
    /** Gives it to the guest, which does not have it. */
    readonly plug: () => Promise<'plugged' | 'opened'>;
  }[];
  /** What is left in a slot without a device: of one that has gone, or of an attempt that did not end. */
  readonly close: (slot: number) => Promise<void>;
}

interface Told {
  readonly name: string;
  readonly standing: Standing;
  readonly error: Failure | null;
}

const isLeft = ({ disks, nics }: DeviceStandings): boolean =>
  [...disks, ...nics].some(({ standing }) => standing === 'leaving');

/**
 * @param attempt runs one change of the run under its lock and fence
 * @returns what the run has of the devices, and of those that it still has although it should not
 * @throws defeat `plug_unsupported`, `spec_invalid`; unknown `qmp_timeout`
 */
export async function plugDevices(
  site: DataplaneSite,
  ask: DevicePlug,
  attempt: (work: (run: QemuRun) => Promise<DeviceStandings>) => Promise<DeviceStandings>,
  signal: AbortSignal,
): Promise<DeviceStandings> {
  const endMs = performance.now() + releaseWithinMs;
  for (let isFirst = true; ; isFirst = false) {
    const standings = await attempt((run) => plugOnce(site, ask, run, isFirst));
    if (!isLeft(standings) || performance.now() > endMs) return standings;
    await pause(lookEveryMs, undefined, { signal });
  }
}

/** @param asks the guest to release what it should; asked again at once, it might take that for a withdrawal */
async function plugOnce(site: DataplaneSite, ask: DevicePlug, run: QemuRun, asks: boolean): Promise<DeviceStandings> {
  const { incarnation, disks, nics } = ask;
  const { diskSlots, nicSlots } = await readSlots(run.client);
  if (diskSlots === 0 || (nics !== undefined && nicSlots === 0)) throw plugUnsupported(incarnation.owner.actor);
  checkDisks(disks, diskSlots);
  checkNics(nics ?? [], nicSlots);
  const diskBay = new DiskBay(site, run, disks, incarnation.boot === null);
  const told = await new Plugging(run, diskBay).step(asks);
  const nicsTold = nics === undefined ? [] : await new Plugging(run, new NicBay(site, run, ask, nics)).step(asks);
  return {
    disks: told.map(({ name: volume, ...rest }) => ({ volume, ...rest })),
    nics: nicsTold.map(({ name: port, ...rest }) => ({ port, ...rest })),
  };
}

/** QEMU forgets the name of a device a moment before it lets go of what the device has used. */
const isInUse = (error: unknown): boolean =>
  error instanceof PhotonError && error.record.code === 'qmp_refused' && /in use/i.test(error.message);

class Plugging {
  readonly #bay: DeviceBay;
  readonly #paths: IncarnationPaths;
  readonly #client: QmpClient;

  constructor({ paths, client }: QemuRun, bay: DeviceBay) {
    this.#bay = bay;
    this.#paths = paths;
    this.#client = client;
  }

  async step(asks: boolean): Promise<readonly Told[]> {
    const { kind, wanted } = this.#bay;
    const isWanted = (kept: KeptDevice): boolean =>
      wanted.some((one) => one.kept.slot === kept.slot && one.kept.uid === kept.uid);
    const leaving: KeptDevice[] = [];
    for (const kept of await readDevices(this.#paths, kind))
      if ((kept.leaving || !isWanted(kept)) && !(await this.#release(kept, asks))) leaving.push(kept);
    const told: Told[] = [];
    for (const { kept, plug } of wanted) {
      const isLeaving = leaving.some(({ slot }) => slot === kept.slot);
      const came = isLeaving ? { standing: 'leaving' as const, error: null } : await this.#tryPlug(kept, plug);
      told.push({ name: kept.name, ...came });
    }
    const others = leaving.filter(({ name }) => !told.some((one) => one.name === name));
    return [...told, ...others.map(({ name }): Told => ({ name, standing: 'leaving', error: null }))];
  }

  /** What QEMU calls the device of a slot. */
  readonly #device = (slot: number): string => `${this.#bay.kind}${slot}`;

  async #has(slot: number): Promise<boolean> {
    return (await readNames(this.#client)).includes(this.#device(slot));
  }

  /** @returns whether QEMU has closed its bytes or its tap */
  async #release(kept: KeptDevice, asks: boolean): Promise<boolean> {
    const { slot } = kept;
    if (await this.#has(slot)) {
      if (!kept.leaving) await this.#keep(slot, { ...kept, leaving: true });
      const request = { id: this.#device(slot) };
      if (asks) await allowing(/in the process of unplug|not found/i, this.#client.execute('device_del', request));
      if (await this.#has(slot)) return false;
    }
    try {
      await this.#bay.close(slot);
    } catch (error) {
      if (isInUse(error)) return false;
      throw error;
    }
    await this.#keep(slot, null);
    return true;
  }

  async #keep(slot: number, device: KeptDevice | null): Promise<void> {
    const { kind } = this.#bay;
    const others = (await readDevices(this.#paths, kind)).filter((one) => one.slot !== slot);
    await keepDevices(this.#paths, kind, device === null ? others : [...others, device]);
  }

  /** What could not be plugged leaves nothing. @throws what is unknown */
  async #tryPlug(kept: KeptDevice, plug: () => Promise<'plugged' | 'opened'>): Promise<Omit<Told, 'name'>> {
    const { slot } = kept;
    try {
      if (await this.#has(slot)) return { standing: 'plugged', error: null };
      await this.#keep(slot, kept);
      return { standing: await plug(), error: null };
    } catch (error) {
      if (!(error instanceof PhotonError) || !['fault', 'defeat'].includes(error.record.group)) throw error;
      await this.#bay.close(slot);
      await this.#keep(slot, null);
      const { code, message, group } = error.record;
      return { standing: 'failed', error: { code, message, retryable: group === 'fault' } };
    }
  }
}
