/**
 * The dataplane as effects see it: the port between actors and this host's kernel, QEMU and disks.
 * actors/dataplane/linux-dataplane.ts implements it on Linux; a simulation implements it in memory.
 * Every method is `(params, call)`, may be repeated, and fails with a PhotonError of group fault, defeat, unknown or
 * ownership_lost whose code is named at the method.
 */
import type { Readable } from 'node:stream';
import type { Log } from '@photoncloud/runtime/contract/log';
import type { HostDataplane } from './host-contract.ts';
import type { IncarnationDataplane } from './incarnation-contract.ts';
import type { NetworkDataplane } from './network-contract.ts';
import type { StorageDataplane } from './storage-contract.ts';

export interface Dataplane extends NetworkDataplane, IncarnationDataplane, StorageDataplane, HostDataplane {
  /** Ends our coprocesses and watches. dnsmasq, QEMU and every kernel object stay: the next process takes them up. */
  close(): Promise<void>;
}

export interface DataplaneOptions {
  /** 1 to 4 characters [a-z0-9], unique per cluster and host: kernel names start with it. */
  readonly prefix: string;
  readonly cluster: string;
  readonly host: string;
  /** The host's own folder; images/, volumes/, machines/, dhcp/ and fences are made below it. Absolute. */
  readonly folder: string;
  /** Absolute folders from which `file://` images may be taken. */
  readonly allowedRoots: readonly string[];
  /** IPv4 on the underlay; null takes the source address of the default route. */
  readonly underlay: string | null;
  readonly qemu: { readonly binary: string; readonly libDir?: string; readonly libraryPath?: string };
  /** Opens a blob on another host; given by the composition root. Rejects or errors when it cannot. */
  readonly fetchBlob: (host: string, sha256: string, signal: AbortSignal) => Promise<Readable>;
  readonly log: Log;
}
