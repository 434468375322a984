/**
 * The dataplane on Linux: combines the network, hypervisor, storage and host operations over one DataplaneSite. Only
 * the worker's composition root calls it; every other production file imports contract/. Promise: creating it changes
 * nothing on the host except its own folder.
 */
import { mkdir } from 'node:fs/promises';
import type { Dataplane, DataplaneOptions } from './contract/dataplane-contract.ts';
import { foldersOf } from './dataplane-site.ts';
import type { DataplaneSite } from './dataplane-site.ts';
import { exportOperations } from './export/export-operations.ts';
import { FenceFloor } from './fence-floor.ts';
import { hostOperations } from './host/host-operations.ts';
import { findGuestGroups } from './hypervisor/qemu-cgroup.ts';
import { ConsoleStreams } from './hypervisor/qemu-console-stream.ts';
import { incarnationOperations } from './hypervisor/qemu-operations.ts';
import { IncarnationSessions } from './hypervisor/qemu-session.ts';
import { Gatherings } from './image/copy-gathering.ts';
import { fileError } from './kernel-errors.ts';
import { KernelNames } from './kernel-names.ts';
import { migrationOperations } from './migration/migration-operations.ts';
import { NamespaceLinks } from './namespace-link.ts';
import { networkOperations } from './network-operations.ts';
import { ObjectLocks } from './object-locks.ts';
import { BackendChecks } from './service-check/backend-checks.ts';
import { Probers } from './service-check/prober.ts';
import { serviceOperations } from './service-check/service-operations.ts';
import { gatewayOperations } from './router/gateway-operations.ts';
import { snapshotOperations } from './snapshot/snapshot-operations.ts';
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
  const folders = foldersOf(options);
  const site: DataplaneSite = {
    options,
    names,
    links: new NamespaceLinks(),
    fences: await FenceFloor.open(options.folder),
    locks: new ObjectLocks(),
    folders,
    probers: new Probers(folders.run),
    guestGroups: await findGuestGroups(options.prefix, options.log),
  };
  const sessions = new IncarnationSessions();
  const consoles = new ConsoleStreams(site);
  const checks = new BackendChecks(site);
  const gatherings = new Gatherings(site);
  return {
    ...networkOperations(site),
    ...serviceOperations(checks),
    ...gatewayOperations(site),
    ...migrationOperations(site, sessions),
    ...incarnationOperations(site, sessions, consoles),
    ...storageOperations(site, sessions, gatherings),
    ...exportOperations(site),
    ...snapshotOperations(site, sessions),
    ...hostOperations(site, sessions),
    close: async () => {
      consoles.close();
      await Promise.all([site.links.close(), site.probers.close(), sessions.close(), gatherings.close()]);
      await site.fences.close();
    },
  };
}
