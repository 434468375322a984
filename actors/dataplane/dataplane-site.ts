/**
 * What all operations of one dataplane share: names, folders, namespace links, fences, locks, options with the log.
 * Created once by linux-dataplane.ts and passed to the operations; contains no logic of taps or incarnations.
 */
import { rmdir } from 'node:fs/promises';
import path from 'node:path';
import type { DataplaneOptions } from './contract/dataplane-contract.ts';
import type { FenceFloor } from './fence-floor.ts';
import { errnoOf, fileError } from './kernel-errors.ts';
import type { KernelNames } from './kernel-names.ts';
import type { NamespaceLinks } from './namespace-link.ts';
import type { ObjectLocks } from './object-locks.ts';
import type { Probers } from './service-check/prober.ts';

export interface DataplaneSite {
  readonly options: DataplaneOptions;
  readonly names: KernelNames;
  readonly links: NamespaceLinks;
  readonly fences: FenceFloor;
  readonly locks: ObjectLocks;
  readonly folders: SiteFolders;
  readonly probers: Probers;
  /** The control group that has the groups of all guests below it; null when guests have none. */
  readonly guestGroups: string | null;
}

export interface SiteFolders {
  readonly images: string;
  /** What has come of images that are gathered over a network. */
  readonly incoming: string;
  readonly volumes: string;
  readonly incarnations: string;
  /** Of runs that have ended. */
  readonly consoles: string;
  /**
   * Below /run: files that a reboot may delete. Sockets need short paths, and dnsmasq reads its folder unprivileged.
   */
  readonly run: string;
  readonly dhcp: string;
  /** A folder for each namespace with a metadata service. */
  readonly metadata: string;
}

export function foldersOf(options: Pick<DataplaneOptions, 'folder' | 'prefix'>): SiteFolders {
  return {
    images: path.join(options.folder, 'images'),
    incoming: path.join(options.folder, 'incoming'),
    volumes: path.join(options.folder, 'volumes'),
    incarnations: path.join(options.folder, 'incarnations'),
    consoles: path.join(options.folder, 'consoles'),
    run: `/run/photon-${options.prefix}`,
    dhcp: `/run/photon-${options.prefix}/dhcp`,
    metadata: `/run/photon-${options.prefix}/metadata`,
  };
}

/** Removes the folders of a kind of object when they are empty, so that a host without objects has no folders left. */
export async function dropEmptyRunFolders(site: DataplaneSite): Promise<void> {
  for (const folder of [
    site.folders.dhcp,
    site.folders.metadata,
    path.join(site.folders.run, 'incarnations'),
    path.join(site.folders.run, 'exports'),
    site.folders.incarnations,
    site.folders.run,
    site.guestGroups,
  ]) {
    if (folder === null) continue;
    try {
      await rmdir(folder);
    } catch (error) {
      if (!['ENOENT', 'ENOTEMPTY', 'EEXIST', 'EBUSY'].includes(errnoOf(error)))
        throw fileError(`removing ${folder}`, error);
    }
  }
}
