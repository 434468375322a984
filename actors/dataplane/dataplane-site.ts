/**
 * What every operation of one dataplane shares: names, folders, links into namespaces, fences, locks, the log.
 * Made once by linux-dataplane.ts and passed down; holds no knowledge of its own about taps or machines.
 */
import path from 'node:path';
import type { DataplaneOptions } from './contract/dataplane-contract.ts';
import type { FenceFloor } from './fence-floor.ts';
import type { KernelNames } from './kernel-names.ts';
import type { NamespaceLinks } from './namespace-link.ts';
import type { ObjectLocks } from './object-locks.ts';

export interface DataplaneSite {
  readonly options: DataplaneOptions;
  readonly names: KernelNames;
  readonly links: NamespaceLinks;
  readonly fences: FenceFloor;
  readonly locks: ObjectLocks;
  readonly folders: SiteFolders;
}

export interface SiteFolders {
  readonly images: string;
  readonly volumes: string;
  readonly machines: string;
  /** Below /run, not below the host's folder: dnsmasq reads it unprivileged and may not be able to pass the latter. */
  readonly dhcp: string;
}

export function foldersOf(options: Pick<DataplaneOptions, 'folder' | 'prefix'>): SiteFolders {
  return {
    images: path.join(options.folder, 'images'),
    volumes: path.join(options.folder, 'volumes'),
    machines: path.join(options.folder, 'machines'),
    dhcp: `/run/photon-${options.prefix}`,
  };
}
