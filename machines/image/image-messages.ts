/** Context and messages of an image: pure functions of context and event. */
import { assertEvent } from 'xstate';
import { importPlace } from '../cluster/cluster-protocol.ts';
import { copyFetch, copyGather, copyImport, copyRemove } from '../image-copy/image-copy-protocol.ts';
import type { DeclaredContext } from '../values/declared.ts';
import { failureOf, type Failure } from '../values/failures.ts';
import { clusterId, counterpartOf } from '../values/identifiers.ts';
import { putRow, reject, rejectFor, removeRow, row, send } from '../values/telling.ts';
import type { Acted, Asked, Seen } from '../values/telling.ts';
import type { CopyProgress, CopyProof, OwnerToken } from '../values/wiring.ts';
import { imageProvided, imageRefused, type ImageEvent, type ImageSpec } from './image-protocol.ts';

export interface ImageContext extends DeclaredContext<ImageSpec> {
  /** Host that reads the file, later one that other hosts fetch from; null until the cluster has named it. */
  readonly home: string | null;
  /** Of bytes that come from an address or a client, until they are a copy; else null. */
  readonly progress: CopyProgress | null;
  /** Properties of the imported bytes; the digest is the image's identity. */
  readonly proof: CopyProof | null;
  /** Host -> state of its copy: present or being made. */
  readonly copies: Readonly<Record<string, 'ready' | 'fetching'>>;
  /** Holders that wait for a copy, and on which host. */
  readonly waiting: readonly { readonly holder: string; readonly host: string }[];
  /** Number of rows `holder/<actor id>`. */
  readonly holderCount: number;
}

/** Row `holder/<actor id>`. */
interface Holding {
  readonly host: string;
}

export type At = Seen<ImageContext, ImageEvent>;
type NeedOrFree = Extract<ImageEvent, { readonly type: 'image.need' | 'image.free' }>;

const specOf = ({ spec }: ImageContext): ImageSpec => spec as ImageSpec;
const copyOn = ({ id }: ImageContext, host: string): string => counterpartOf(id, 'image-copy', host);
const ownerOn = (context: ImageContext, host: string): OwnerToken => ({
  actor: copyOn(context, host),
  uid: context.uid,
  runEpoch: 1,
});

// The import

export function askPlace({ context }: At): readonly Asked[] {
  const { source, host } = specOf(context);
  return [send(clusterId, importPlace({ image: context.id, path: source.path ?? null, host }))];
}

export function takeHome({ event }: At): Partial<ImageContext> {
  assertEvent(event, 'import.placed');
  return { home: event.host.name };
}

export function askImport({ context }: At): readonly Asked[] {
  const home = context.home ?? '';
  const { source, format, sha256 } = specOf(context);
  const [image, to] = [context.id, copyOn(context, home)];
  const owner = ownerOn(context, home);
  if (source.path !== undefined) {
    return [send(to, copyImport({ image, spec: { owner, path: source.path, format, sha256 } }))];
  }
  const from = source.url === undefined ? { uploadBytes: source.upload?.sizeBytes ?? 0 } : { url: source.url };
  return [send(to, copyGather({ image, spec: { owner, source: from, format, sha256: sha256 ?? '' } }))];
}

export function noteProgress({ event }: At): Partial<ImageContext> {
  assertEvent(event, 'copy.progress');
  const { receivedBytes, totalBytes } = event;
  return { progress: { receivedBytes, totalBytes } };
}

/** An import in progress is removed with its image copy. */
export const noteImport = ({ context }: At): Partial<ImageContext> =>
  context.home === null ? {} : { copies: { ...context.copies, [context.home]: 'fetching' } };

export function takeProof({ context, event }: At): Partial<ImageContext> {
  assertEvent(event, 'copy.ready');
  return { proof: event.proof, progress: null, copies: { ...context.copies, [event.host]: 'ready' } };
}

/** Field that a refusal names when the source is not the cause. */
const refusedFields: Readonly<Record<string, string>> = {
  format_lies: 'spec.format',
  digest_mismatch: 'spec.sha256',
  host_not_found: 'spec.host',
};

/** Rejects the deferred commands with the field that caused the failure. */
export function rejectImport({ context, event }: At): Acted<ImageContext> {
  assertEvent(event, ['import.refused', 'copy.rejected']);
  const { error } = event;
  const [given = 'path'] = Object.keys(specOf(context).source);
  const path = refusedFields[error.code] ?? `spec.source.${given}`;
  return { changes: { waiters: [] }, asks: context.waiters.map(({ commandId }) => rejectFor(commandId, error, path)) };
}

// Holders

const refuse = (context: ImageContext, holder: string, error: Failure): Asked =>
  send(holder, imageRefused({ image: context.id, error }));

function provide(context: ImageContext, holder: string, host: string): Asked {
  const { sha256, virtualSizeBytes } = context.proof as CopyProof;
  const { format } = specOf(context);
  return send(holder, imageProvided({ image: context.id, host, sha256, format, virtualSizeBytes }));
}

/** Refuses a request for an image that does not exist. */
export function refuseAbsent({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'image.need');
  const message = `there is no ${context.id}; create it, or delete the object that names it`;
  return [refuse(context, event.holder, { code: 'image_not_found', message, retryable: false })];
}

export function refuseEarly({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'image.need');
  const message = `${context.id} is not ready${context.failure === null ? '' : `: ${context.failure.message}`}`;
  return [refuse(context, event.holder, { code: 'image_not_ready', message, retryable: context.failure === null })];
}

const held = (event: NeedOrFree): Holding | undefined => row(event, 'holder', event.holder);

/** The requester becomes a holder at its first request; it is answered once its host has the image. */
export function hold({ context, event }: At): Acted<ImageContext> {
  assertEvent(event, 'image.need');
  const { holder, host } = event;
  const holderCount = context.holderCount + (held(event) === undefined ? 1 : 0);
  const kept = putRow('holder', holder, { host: host.name } satisfies Holding);
  if (context.copies[host.name] === 'ready') {
    return { changes: { holderCount }, asks: [provide(context, holder, host.name), kept] };
  }
  const others = context.waiting.filter((wait) => wait.holder !== holder || wait.host !== host.name);
  const waiting = [...others, { holder, host: host.name }];
  const copies = { ...context.copies, [host.name]: 'fetching' as const };
  return { changes: { holderCount, copies, waiting }, asks: [fetchTo(context, host.name), kept] };
}

function fetchTo(context: ImageContext, host: string): Asked {
  const { sha256, sizeBytes } = context.proof as CopyProof;
  const owner = ownerOn(context, host);
  const spec = { owner, format: specOf(context).format, sha256, sizeBytes, from: context.home ?? '' };
  return send(copyOn(context, host), copyFetch({ image: context.id, spec }));
}

export function letGo({ context, event }: At): Acted<ImageContext> {
  assertEvent(event, 'image.free');
  const waiting = context.waiting.filter(({ holder }) => holder !== event.holder);
  if (held(event) === undefined) return { changes: { waiting }, asks: [] };
  return { changes: { waiting, holderCount: context.holderCount - 1 }, asks: [removeRow('holder', event.holder)] };
}

export function inUse({ context }: At): readonly Asked[] {
  const holders = context.holderCount === 1 ? '1 VM or volume' : `${context.holderCount} VMs and volumes`;
  const message = `${context.id} is held by ${holders}; delete those that name it, or name another image in them`;
  return [reject({ code: 'in_use', message })];
}

// Copies

/** Answers the holders that wait for a copy on this host. */
export function settleWaiting({ context, event }: At): Acted<ImageContext> {
  assertEvent(event, ['copy.ready', 'copy.rejected']);
  const { host } = event;
  const { [host]: _, ...others } = context.copies;
  const here = context.waiting.filter((wait) => wait.host === host);
  const waiting = context.waiting.filter((wait) => wait.host !== host);
  if (event.type === 'copy.ready') {
    const copies = { ...others, [host]: 'ready' as const };
    return { changes: { copies, waiting }, asks: here.map(({ holder }) => provide(context, holder, host)) };
  }
  const error = failureOf(event.error);
  // The host that others fetch from may be silent: whoever asks again fetches from another one that has the image.
  const home = error.retryable ? nextHome(others, context.home) : context.home;
  return { changes: { copies: others, waiting, home }, asks: here.map(({ holder }) => refuse(context, holder, error)) };
}

/** The next host, by name, whose copy is ready; the same one when no other has it. */
function nextHome(copies: ImageContext['copies'], home: string | null): string | null {
  const others = Object.keys(copies)
    .filter((host) => host !== home && copies[host] === 'ready')
    .toSorted();
  return others.find((host) => host > (home ?? '')) ?? others[0] ?? home;
}

/** Other hosts fetch from a remaining copy; without one they wait until this host returns. */
export function loseCopy({ context, event }: At): Partial<ImageContext> {
  assertEvent(event, 'copy.lost');
  const { [event.host]: _, ...copies } = context.copies;
  return { copies, home: context.home === event.host ? nextHome(copies, event.host) : context.home };
}

export const dropCopies = ({ context }: At): readonly Asked[] =>
  Object.keys(context.copies).map((host) => send(copyOn(context, host), copyRemove({})));

export function forgetCopy({ context, event }: At): Partial<ImageContext> {
  assertEvent(event, ['copy.removed', 'copy.rejected']);
  const { [event.host]: _, ...copies } = context.copies;
  return { copies };
}
