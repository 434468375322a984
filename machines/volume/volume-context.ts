/** What a volume remembers, and the messages it builds from that. */
import { partsOfId, idOf, tenantId, counterpartOf } from '../values/identifiers.ts';
import type { Failure } from '../values/failures.ts';
import type { SentEvent } from '../values/requests.ts';
import type { DiskFormat, HostFacts, ReplicaSpec } from '../values/wiring.ts';
import type { VolumeSpec } from './volume-events.ts';

export interface VolumeContext {
  readonly id: string;
  readonly uid: string;
  /** Identity towards the guest, from the uid; the same for the volume's whole life. */
  readonly serial: string;
  readonly spec: VolumeSpec | null;
  /** Set by the first attach, never changed: the bytes are there. */
  readonly host: HostFacts | null;
  /** VM actor that may run on it; set by attach, cleared by detach. */
  readonly holder: string | null;
  /** Who may write: taken from the holder, never falls. */
  readonly runEpoch: number;
  /** Filled once, when the first replica is made from an image. */
  readonly source: { readonly sha256: string; readonly format: DiskFormat } | null;
  readonly createCommand: string | null;
  readonly deleteCommand: string | null;
  readonly failure: Failure | null;
}

export interface OutgoingMessage {
  readonly to: string;
  readonly event: SentEvent;
}

interface Seen {
  readonly context: VolumeContext;
}

export const imageOf = (context: VolumeContext): string | null =>
  context.spec?.image ? idOf('image', partsOfId(context.id).tenant, context.spec.image) : null;

export const claimQuota = ({ context }: Seen): OutgoingMessage => ({
  to: tenantId(partsOfId(context.id).tenant),
  event: { type: 'quota.claim', kind: 'volume', claimant: context.id },
});

export const releaseQuota = ({ context }: Seen): OutgoingMessage => ({
  to: tenantId(partsOfId(context.id).tenant),
  event: { type: 'quota.release', kind: 'volume', claimant: context.id },
});

export const askImage = ({ context }: Seen): OutgoingMessage => ({
  to: imageOf(context) ?? '',
  event: { type: 'image.need', holder: context.id, host: context.host },
});

export const freeImage = ({ context }: Seen): OutgoingMessage => ({
  to: imageOf(context) ?? '',
  event: { type: 'image.free', holder: context.id },
});

export const replicaOf = (context: VolumeContext): string =>
  counterpartOf(context.id, 'replica', context.host?.name ?? '');

function replicaSpec(context: VolumeContext): ReplicaSpec {
  const spec = context.spec as VolumeSpec;
  return {
    owner: { actor: replicaOf(context), uid: context.uid, runEpoch: context.runEpoch },
    volumeUid: context.uid,
    serial: context.serial,
    sizeMib: spec.sizeMib,
    format: spec.format,
    image: context.source,
  };
}

export const askReplica = ({ context }: Seen): OutgoingMessage => ({
  to: replicaOf(context),
  event: { type: 'replica.ensure', volume: context.id, spec: replicaSpec(context) },
});

export const dropReplica = ({ context }: Seen): OutgoingMessage => ({
  to: replicaOf(context),
  event: { type: 'replica.remove' },
});

export const tellAttached = ({ context }: Seen): OutgoingMessage => ({
  to: context.holder ?? '',
  event: {
    type: 'volume.attached',
    volume: context.id,
    uid: context.uid,
    serial: context.serial,
    format: context.spec?.format,
    host: context.host?.name,
  },
});

export const tellRefused = ({ context }: Seen): OutgoingMessage => ({
  to: context.holder ?? '',
  event: { type: 'volume.refused', volume: context.id, error: context.failure },
});
