/** Context of a volume, and what follows from it alone. */
import { counterpartOf } from '../values/identifiers.ts';
import type { DeclaredContext } from '../values/declared.ts';
import { serialOf } from '../values/serials.ts';
import { send, type Asked, type Issue, type Seen } from '../values/telling.ts';
import type { DiskFormat, DiskSource, ExportClient, HostFacts, ReplicaSpec } from '../values/wiring.ts';
import { exportEnsure } from '../volume-export/volume-export-protocol.ts';
import type { VolumeEvent, VolumeSpec } from './volume-protocol.ts';
import type { Growth, Resizing } from './volume-growth.ts';
import type { VolumeStandby } from './volume-standby.ts';

export interface VolumeContext extends DeclaredContext<VolumeSpec> {
  /**
   * Host of the bytes. Of a local volume set by the first attach, and changed by a migration of the holder; of a shared
   * one chosen by the cluster, for good.
   */
  readonly host: HostFacts | null;
  /** The VM that may use it; set by attach, cleared by detach. */
  readonly holder: string | null;
  /** Host of the VM that held it last. */
  readonly client: HostFacts | null;
  /** Run epoch of the writer: taken from the holder, never decreases. */
  readonly runEpoch: number;
  /** Of a shared volume: where that run finds the bytes. */
  readonly access: DiskSource | null;
  /** Of a shared volume: its host is silent, and who uses it was told so. */
  readonly away?: boolean;
  /** The image its first bytes came from, by digest; set once. */
  readonly source: { readonly sha256: string; readonly format: DiskFormat } | null;
  /** The second host, while the holder is moved there, or until what is left on the former one is gone. */
  readonly standby: VolumeStandby | null;
  /** A declaration with a larger size, while it is decided on. */
  readonly growth: Growth | null;
  /** Of a shared volume: its holder's guest is to see the size that it has grown to. */
  readonly resizing: Resizing | null;
  /** Snapshots that are being taken: actor ids. */
  readonly captures: readonly string[];
  /** The snapshot whose bytes it takes, until it has a copy of them. */
  readonly filling: Filling | null;
}

export interface Filling {
  /** Actor id. */
  readonly snapshot: string;
  /** What the snapshot has said of its copy; null before. `host` is a name. */
  readonly copy: { readonly uid: string; readonly host: string; readonly allocatedBytes: number } | null;
  /** Uid of the restoration; null: the volume is new. */
  readonly restore: string | null;
}

export type At = Seen<VolumeContext, VolumeEvent>;

/** 0 of a volume that does not exist. */
export const sizeOf = ({ spec }: VolumeContext): number => spec?.sizeMib ?? 0;
export const specOf = ({ spec }: VolumeContext): VolumeSpec => spec as VolumeSpec;
/** Whether VMs of other hosts can use the bytes. A volume of an older release is local. */
export const isShared = ({ spec }: Pick<VolumeContext, 'spec'>): boolean => spec?.class === 'shared';

/** What a schema cannot say. */
export const problemsOf = (spec: VolumeSpec): readonly (Issue & { readonly code: string })[] => [
  ...(spec.class === 'shared' && spec.format !== 'raw'
    ? [{ code: 'format_not_shared', path: 'spec.format', message: 'a shared volume has the format raw' }]
    : []),
  ...(spec.image !== null && spec.snapshot !== null
    ? [
        {
          code: 'two_sources',
          path: 'spec.snapshot',
          message: 'a volume is made from an image or a snapshot: name one',
        },
      ]
    : []),
];

/** The actor that has the bytes on a host. */
export const replicaOn = ({ id }: VolumeContext, host: HostFacts | null): string =>
  counterpartOf(id, 'replica', host?.name ?? '');

/** What that actor is told to have, for a run. */
export function replicaSpec(context: VolumeContext, host: HostFacts | null, runEpoch: number): ReplicaSpec {
  const { uid, source, filling } = context;
  const { sizeMib, format } = specOf(context);
  const owner = { actor: replicaOn(context, host), uid, runEpoch };
  const copy = filling?.copy ?? null;
  const from = copy === null ? {} : { snapshot: { ...copy, restore: filling?.restore ?? null } };
  return { owner, volumeUid: uid, serial: serialOf(uid), sizeMib, format, image: source, ...from };
}

// A shared volume

/** The actor that serves the bytes. */
export const exportOf = ({ id, host }: VolumeContext): string => counterpartOf(id, 'volume-export', host?.name ?? '');

/** Says which runs may use the bytes; an older one than that of the context is cut for ever. */
export function serveTo(context: VolumeContext, clients: readonly ExportClient[]): Asked {
  const { id, uid, runEpoch } = context;
  const owner = { actor: exportOf(context), uid, runEpoch };
  return send(exportOf(context), exportEnsure({ volume: id, spec: { owner, volumeUid: uid, clients } }));
}

/** The holder's run. */
export const ownClient = ({ runEpoch, client }: VolumeContext): ExportClient => ({
  runEpoch,
  host: client?.name ?? '',
});

/** The runs that may use the bytes: the holder's, and one that is prepared. */
export function clientsOf(context: VolumeContext): readonly ExportClient[] {
  const { standby } = context;
  const isPrepared = standby?.phase === 'making' || standby?.phase === 'standing';
  return isPrepared
    ? [ownClient(context), { runEpoch: standby.runEpoch, host: standby.host.name }]
    : [ownClient(context)];
}

/** Where a run finds the bytes, by what their host has told; null when it may not use them. */
export function accessIn({ event }: At, runEpoch: number): DiskSource | null {
  if (event.type !== 'export.serving') return null;
  return event.served.find((one) => one.runEpoch === runEpoch)?.source ?? null;
}
