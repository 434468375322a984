/**
 * The interface through which effects change this host's kernel, QEMU processes and disks.
 * actors/dataplane/linux-dataplane.ts implements it on Linux, cluster-tests/simulation/cloud in memory.
 * Every method takes `(params, call)`, is idempotent, and fails with a PhotonError of group fault, defeat, unknown or
 * ownership_lost. The codes are listed at the method.
 */
import type { Readable } from 'node:stream';
import type { Log } from '@photoncloud/runtime/contract/log';
import type { HostDataplane } from './host-contract.ts';
import type { IncarnationDataplane } from './incarnation-contract.ts';
import type { NetworkDataplane } from './network-contract.ts';
import type { StorageDataplane } from './storage-contract.ts';

export interface Dataplane extends NetworkDataplane, IncarnationDataplane, StorageDataplane, HostDataplane {
  /**
   * Ends our coprocesses and watches. dnsmasq, QEMU and all kernel objects stay; the next worker process adopts them.
   */
  close(): Promise<void>;
}

export interface DataplaneOptions {
  /** 1 to 4 characters [a-z0-9], a letter first, unique per cluster and host. All kernel names start with it. */
  readonly prefix: string;
  readonly cluster: string;
  readonly host: string;
  /** Absolute path of the host's own folder; images/, volumes/, incarnations/ and fences.log are made below it. */
  readonly folder: string;
  /** Absolute folders from which `file://` images may be imported. */
  readonly allowedRoots: readonly string[];
  /** User id whose files may be imported although not everybody may read them; null: nobody. */
  readonly imageOwnerUid: number | null;
  /** IPv4 address on the underlay; null uses the address of the default route's interface. */
  readonly underlay: string | null;
  readonly qemu: { readonly binary: string; readonly libDir?: string; readonly libraryPath?: string };
  /**
   * Opens a blob on another host; passed in by the composition root. The promise or the stream fails when it cannot.
   */
  readonly fetchBlob: (host: string, sha256: string, signal: AbortSignal) => Promise<Readable>;
  readonly log: Log;
}
