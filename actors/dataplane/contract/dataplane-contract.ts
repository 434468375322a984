/**
 * The interface through which effects change this host's kernel, QEMU processes and disks.
 * actors/dataplane/linux-dataplane.ts implements it on Linux, cluster-tests/simulation/cloud in memory.
 * Every method takes `(params, call)`, is idempotent, and fails with a PhotonError of group fault, defeat, unknown or
 * ownership_lost. The codes are listed at the method.
 */
import type { Readable } from 'node:stream';
import type { Log } from '@photoncloud/runtime/contract/log';
import type { ExportDataplane } from './export-contract.ts';
import type { GatewayDataplane } from './gateway-contract.ts';
import type { HostDataplane } from './host-contract.ts';
import type { IncarnationDataplane } from './incarnation-contract.ts';
import type { MigrationDataplane } from './migration-contract.ts';
import type { NetworkDataplane } from './network-contract.ts';
import type { ServiceDataplane } from './service-contract.ts';
import type { SnapshotDataplane } from './snapshot-contract.ts';
import type { SourceLimits, StorageDataplane } from './storage-contract.ts';

export interface Dataplane
  extends
    NetworkDataplane,
    GatewayDataplane,
    ServiceDataplane,
    IncarnationDataplane,
    MigrationDataplane,
    StorageDataplane,
    ExportDataplane,
    SnapshotDataplane,
    HostDataplane {
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
  /** This host takes shared volumes. */
  readonly storage: boolean;
  /** VMs run here; absent: yes. */
  readonly guests?: boolean;
  /** User id whose files may be imported although not everybody may read them; null: nobody. */
  readonly imageOwnerUid: number | null;
  /** Networks (CIDR) from which images may be fetched although they are not global. */
  readonly allowedSources: readonly string[];
  /** Addresses of the nodes of the cluster, from which images may not be fetched. */
  readonly nodeAddresses: () => readonly string[];
  /** Default: those of source-request.ts. */
  readonly sourceLimits?: Partial<SourceLimits>;
  /** IPv4 address on the underlay; null uses the address of the default route's interface. */
  readonly underlay: string | null;
  /** The system emulator; QEMU's other programs are beside it. */
  readonly qemu: { readonly binary: string; readonly libDir?: string };
  /**
   * Opens a blob on another host; passed in by the composition root. The promise or the stream fails when it cannot.
   */
  readonly fetchBlob: (host: string, sha256: string, signal: AbortSignal) => Promise<Readable>;
  /** Opens the copy of a snapshot on another host, in the same way. */
  readonly fetchSnapshot: (host: string, snapshotUid: string, signal: AbortSignal) => Promise<Readable>;
  /** Opens a sealed secret of this actor (machines/values/sealed.ts). @throws defeat `secret_unreadable` */
  readonly openSecret: (actor: string, sealed: string) => string;
  /**
   * The key of a migration's connections, 32 bytes: the same on both of its hosts, without being sent.
   * @throws defeat `migration_key_missing`
   */
  readonly migrationKey: (migration: string) => Buffer;
  /**
   * The key of an export's connections, 32 bytes: the same on the two hosts, without being sent.
   * @throws defeat `export_key_missing`
   */
  readonly exportKey: (name: string) => Buffer;
  readonly log: Log;
}
