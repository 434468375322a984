/** What an image remembers, and the messages it builds from that. */
import type { Failure } from '../values/failures.ts';
import { partsOfId, tenantId, counterpartOf } from '../values/identifiers.ts';
import { clusterId } from '../values/identifiers.ts';
import type { SentEvent } from '../values/requests.ts';
import type { CopyFetchSpec, CopyImportSpec, CopyProof, OwnerToken } from '../values/wiring.ts';
import type { ImageSpec } from './image-events.ts';

export interface ImageContext {
  readonly id: string;
  readonly uid: string;
  readonly spec: ImageSpec | null;
  /** Host the file was imported on; other hosts fetch from it. */
  readonly home: string | null;
  /** What the bytes turned out to be; the digest is the image's identity. */
  readonly proof: CopyProof | null;
  /** Hosts that have a copy, or are fetching one. */
  readonly copies: Readonly<Record<string, 'ready' | 'fetching'>>;
  /** Who waits for a copy on which host. */
  readonly waiting: readonly { readonly holder: string; readonly host: string }[];
  /** Rows `holder/<actor id>`; their number is kept here. */
  readonly holderCount: number;
  readonly createCommand: string | null;
  readonly deleteCommand: string | null;
  readonly failure: Failure | null;
}

export interface OutgoingMessage {
  readonly to: string;
  readonly event: SentEvent;
}

interface Seen {
  readonly context: ImageContext;
}

const ownerOn = (context: ImageContext, host: string): OwnerToken => ({
  actor: counterpartOf(context.id, 'image-copy', host),
  uid: context.uid,
  runEpoch: 1,
});

export const claimQuota = ({ context }: Seen): OutgoingMessage => ({
  to: tenantId(partsOfId(context.id).tenant),
  event: { type: 'quota.claim', kind: 'image', claimant: context.id },
});

export const releaseQuota = ({ context }: Seen): OutgoingMessage => ({
  to: tenantId(partsOfId(context.id).tenant),
  event: { type: 'quota.release', kind: 'image', claimant: context.id },
});

export const askPlace = ({ context }: Seen): OutgoingMessage => ({
  to: clusterId,
  event: { type: 'import.place', image: context.id, path: context.spec?.source.path, host: context.spec?.host ?? null },
});

export function askImport({ context }: Seen): OutgoingMessage {
  const host = context.home ?? '';
  const spec: CopyImportSpec = {
    owner: ownerOn(context, host),
    path: context.spec?.source.path ?? '',
    format: context.spec?.format ?? 'raw',
    sha256: context.spec?.sha256 ?? null,
  };
  return { to: counterpartOf(context.id, 'image-copy', host), event: { type: 'copy.import', image: context.id, spec } };
}

export function askFetch(context: ImageContext, host: string): OutgoingMessage {
  const spec: CopyFetchSpec = {
    owner: ownerOn(context, host),
    format: context.spec?.format ?? 'raw',
    sha256: context.proof?.sha256 ?? '',
    sizeBytes: context.proof?.sizeBytes ?? 0,
    from: context.home ?? '',
  };
  return { to: counterpartOf(context.id, 'image-copy', host), event: { type: 'copy.fetch', image: context.id, spec } };
}

export const dropCopy = (context: ImageContext, host: string): OutgoingMessage => ({
  to: counterpartOf(context.id, 'image-copy', host),
  event: { type: 'copy.remove' },
});

export const provide = (context: ImageContext, holder: string, host: string): OutgoingMessage => ({
  to: holder,
  event: {
    type: 'image.provided',
    image: context.id,
    host,
    sha256: context.proof?.sha256,
    format: context.spec?.format,
    virtualSizeBytes: context.proof?.virtualSizeBytes,
  },
});

export const refuse = (context: ImageContext, holder: string, error: Failure): OutgoingMessage => ({
  to: holder,
  event: { type: 'image.refused', image: context.id, error },
});
