/**
 * The dataplane on Linux: combines the network, hypervisor, storage and host operations over one DataplaneSite. Only
 * the worker's composition root calls it; every other production file imports contract/. Promise: creating it changes
 * nothing on the host except its own folder.
 */
import { mkdir } from 'node:fs/promises';
import type { Dataplane, DataplaneOptions } from './contract/dataplane-contract.ts';
import { foldersOf } from './dataplane-site.ts';
import type { DataplaneSite } from './dataplane-site.ts';
import { FenceFloor } from './fence-floor.ts';
import { hostOperations } from './host/host-operations.ts';
import { findGuestGroups } from './hypervisor/qemu-cgroup.ts';
import { incarnationOperations } from './hypervisor/qemu-operations.ts';
import { IncarnationSessions } from './hypervisor/qemu-session.ts';
import { fileError } from './kernel-errors.ts';
import { KernelNames } from './kernel-names.ts';
import { NamespaceLinks } from './namespace-link.ts';
import { networkOperations } from './network-operations.ts';
import { ObjectLocks } from './object-locks.ts';
import { storageOperations } from './storage-operations.ts';

export type { Dataplane, DataplaneOptions } from './contract/dataplane-contract.ts';

/** @throws TypeError for an invalid prefix; fault when the folder cannot be made */
export async function createDataplane(options: DataplaneOptions): Promise<Dataplane> {
  const names = new KernelNames(options.prefix);
  try {
    await mkdir(options.folder, { recursive: true });
  } catch (error) {
    throw fileError(`making ${options.folder}`, error);
  }
  const site: DataplaneSite = {
    options,
    names,
    links: new NamespaceLinks(),
    fences: await FenceFloor.open(options.folder),
    locks: new ObjectLocks(),
    folders: foldersOf(options),
    guestGroups: await findGuestGroups(options.prefix, options.log),
  };
  const sessions = new IncarnationSessions();
  return {
    ...networkOperations(site),
    ...incarnationOperations(site, sessions),
    ...storageOperations(site),
    ...hostOperations(site, sessions),
    close: async () => {
      await Promise.all([site.links.close(), sessions.close()]);
      await site.fences.close();
    },
  };
}
