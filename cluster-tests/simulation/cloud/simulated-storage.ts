/**
 * Storage of the simulated dataplane, by the contract in storage-contract.ts: image copies with their owners, replicas
 * by volume uid, imports from files the host was given. A file is there completely or not at all. Called by
 * simulated-dataplane.ts; the state is in simulated-kernel.ts, on its disk.
 */
import { Readable } from 'node:stream';
import type {
  Gathered,
  ImageFile,
  StorageDataplane,
  VolumeFigures,
} from '@photoncloud/actors/dataplane/contract/storage-contract';
import { blobMissing, refuseImage } from '@photoncloud/actors/dataplane/image/image-errors';
import { refuseOlder } from '@photoncloud/actors/dataplane/owner-alias';
import { snapshotMissing, snapshotUnfetched } from '@photoncloud/actors/dataplane/snapshot/snapshot-errors';
import {
  imageLarger,
  replicaDiffers,
  replicaInUse,
  snapshotLarger,
} from '@photoncloud/actors/dataplane/volume/replica-errors';
import { idOf, partsOfId } from '@photoncloud/machines/values/identifiers';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type {
  CopyGatherSpec,
  CopyProof,
  ImageFormat,
  OwnerToken,
  ReplicaSpec,
} from '@photoncloud/machines/values/wiring';
import type { Copy, Replica, SimulatedKernel, SourceFile } from './simulated-kernel.ts';
import type { SimulatedSite } from './simulated-site.ts';

const mib = 1 << 20;
const sameUid = (a: OwnerToken, b: OwnerToken): boolean => a.actor === b.actor && a.uid === b.uid;

export function simulatedStorage(site: SimulatedSite): StorageDataplane {
  const { kernel } = site;
  const copyLock = (owner: OwnerToken): string => `copy ${owner.actor}`;
  return {
    inspectImage: (image) => site.perform('inspectImage', () => inspect(site, image).proof),
    importCopy: (spec, call) =>
      site.change('importCopy', 'copy', copyLock(spec.owner), spec.owner, call, () => {
        const { proof } = inspect(site, spec);
        return addCopy(kernel, proof, spec.format, spec.owner);
      }),
    gatherCopy: (spec, call) =>
      site.change('gatherCopy', 'copy', copyLock(spec.owner), spec.owner, call, () => gather(site, spec)),
    putGathered: (actor) => Promise.reject(new PhotonError('fault', 'upload_not_ready', `${actor} takes no bytes.`)),
    storeGathered: (spec, call) =>
      site.change('storeGathered', 'copy', copyLock(spec.owner), spec.owner, call, () => {
        const { proof } = stored(site, spec) ?? source(site, spec);
        const copy = addCopy(kernel, proof, spec.format, spec.owner);
        kernel.incoming.delete(spec.owner.actor);
        return copy;
      }),
    fetchCopy: (spec, call) =>
      site.change('fetchCopy', 'copy', copyLock(spec.owner), spec.owner, call, () => {
        const key = `${spec.sha256}.${spec.format}`;
        const there = kernel.copies.get(key) ?? site.options.peer(spec.from)?.copies.get(key);
        if (there === undefined)
          throw new PhotonError(
            'fault',
            'fetch_failed',
            `${spec.sha256.slice(0, 12)} could not be fetched from ${spec.from}.`,
          );
        return addCopy(kernel, there.proof, spec.format, spec.owner);
      }),
    openBlob: (sha256) => {
      const found = [...kernel.copies.values()].find((copy) => copy.proof.sha256 === sha256);
      if (found === undefined) return Promise.reject(blobMissing(sha256));
      return Promise.resolve({ stream: Readable.from([]), sizeBytes: found.proof.sizeBytes });
    },
    removeCopy: (copy, call) =>
      site.change('removeCopy', 'copy', copyLock(copy.owner), copy.owner, call, () => {
        kernel.incoming.delete(copy.owner.actor);
        return {
          removed:
            copy.sha256 === null ||
            dropCopyOwners(kernel, `${copy.sha256}.${copy.format}`, (owner) => sameUid(owner, copy.owner)),
        };
      }),
    ensureReplica: (spec, call) =>
      site.change('ensureReplica', 'replica', `volume ${spec.volumeUid}`, spec.owner, call, () =>
        makeReplica(site, spec),
      ),
    readReplica: ({ volumeUid }) => {
      const found = kernel.replicas.get(volumeUid);
      if (found === undefined) return Promise.resolve(null);
      return Promise.resolve({ sizeBytes: found.sizeBytes, allocatedBytes: 0, created: false });
    },
    readVolumeFigures: (volumeUid) => Promise.resolve(figuresOf(kernel, volumeUid)),
    removeReplica: (replica, call) =>
      site.change('removeReplica', 'replica', `volume ${replica.volumeUid}`, replica.owner, call, () => {
        refuseOlder(
          `volume ${replica.volumeUid}`,
          replica.owner,
          kernel.replicas.get(replica.volumeUid)?.owner ?? null,
        );
        return { removed: kernel.replicas.delete(replica.volumeUid) };
      }),
  };
}

/** Simulated guests are not counted: what they have done is 0. */
function figuresOf(kernel: SimulatedKernel, only: string | null): readonly VolumeFigures[] {
  const found = new Map<string, VolumeFigures>();
  const add = (volume: string, uid: string, figures: VolumeFigures['figures']): void => {
    if (only === null || uid === only)
      found.set(uid, { volume, uid, figures: { ...found.get(uid)?.figures, ...figures } });
  };
  for (const [uid, { owner, sizeBytes }] of kernel.replicas) {
    const { tenant, name } = partsOfId(owner.actor);
    if (owner.actor.startsWith('replica/')) add(idOf('volume', tenant, name), uid, { sizeBytes, allocatedBytes: 0 });
  }
  const done = { readBytes: 0, writtenBytes: 0, readOperations: 0, writeOperations: 0, flushOperations: 0 };
  for (const { status, hung, spec } of kernel.incarnations.values())
    if (status !== 'dead' && !hung) for (const { volume, volumeUid } of spec.disks) add(volume, volumeUid, done);
  return [...found.values()];
}

function inspect(site: SimulatedSite, { path, format, sha256 }: ImageFile): SourceFile {
  if (!site.options.allowedRoots.some((root) => path.startsWith(`${root}/`)))
    throw refuseImage('path_outside_roots', path);
  const file = site.kernel.files.get(path);
  if (file === undefined) throw refuseImage('path_missing', path);
  if (file.format !== format) throw refuseImage('format_lies', path);
  if (typeof sha256 === 'string' && sha256 !== file.proof.sha256) throw refuseImage('digest_mismatch', path);
  return file;
}

/** What an address has, or what a client sends: a file that is named by its address or digest. */
function source(site: SimulatedSite, { owner, source: from, format, sha256 }: CopyGatherSpec): SourceFile {
  const named = 'url' in from ? from.url : `upload:${sha256}`;
  const file = site.kernel.files.get(named);
  const refusal =
    file === undefined
      ? 'source_refused'
      : file.format !== format
        ? 'format_lies'
        : file.proof.sha256 !== sha256
          ? 'digest_mismatch'
          : undefined;
  if (refusal !== undefined) site.kernel.incoming.delete(owner.actor);
  if (file === undefined || refusal !== undefined) throw refuseImage(refusal ?? 'source_refused', named);
  return file;
}

/** What became a copy before, without an answer. @throws fault `gathered_missing` */
function stored({ kernel }: SimulatedSite, { owner, format, sha256 }: CopyGatherSpec): Copy | undefined {
  if (kernel.incoming.has(owner.actor)) return undefined;
  const copy = kernel.copies.get(`${sha256}.${format}`);
  if (copy?.owners.some((one) => sameUid(one, owner)) === true) return copy;
  throw new PhotonError('fault', 'gathered_missing', `The bytes of ${owner.actor} are not all there; ask again.`);
}

/** A third of the bytes comes at each call. */
function gather(site: SimulatedSite, spec: CopyGatherSpec): Gathered {
  const { sizeBytes } = source(site, spec).proof;
  const key = spec.owner.actor;
  const before = site.kernel.incoming.get(key)?.receivedBytes ?? 0;
  const receivedBytes = Math.min(sizeBytes, before + Math.ceil(sizeBytes / 3));
  site.kernel.incoming.set(key, { owner: spec.owner, receivedBytes });
  return { receivedBytes, totalBytes: sizeBytes, isWhole: receivedBytes === sizeBytes };
}

function addCopy(kernel: SimulatedKernel, proof: CopyProof, format: ImageFormat, owner: OwnerToken): CopyProof {
  const key = `${proof.sha256}.${format}`;
  const others = (kernel.copies.get(key)?.owners ?? []).filter((one) => !sameUid(one, owner));
  kernel.copies.set(key, { proof, format, owners: [...others, owner] });
  return proof;
}

/** Removes the owners that match; a copy without owners is deleted. @returns whether the copy is gone */
export function dropCopyOwners(kernel: SimulatedKernel, key: string, matches: (owner: OwnerToken) => boolean): boolean {
  const copy = kernel.copies.get(key);
  if (copy === undefined) return true;
  copy.owners = copy.owners.filter((owner) => !matches(owner));
  return copy.owners.length === 0 && kernel.copies.delete(key);
}

function makeReplica(site: SimulatedSite, spec: ReplicaSpec) {
  const { kernel } = site;
  const present = kernel.replicas.get(spec.volumeUid);
  const sizeBytes = spec.sizeMib * mib;
  refuseOlder(`volume ${spec.volumeUid}`, spec.owner, present?.owner ?? null);
  if (present !== undefined && present.format !== spec.format)
    throw replicaDiffers(spec.volumeUid, `as ${present.format}, not ${spec.format}`);
  if (present !== undefined && present.sizeBytes > sizeBytes)
    throw replicaDiffers(spec.volumeUid, `it holds ${present.sizeBytes} bytes, not ${spec.sizeMib} MiB`);
  const { owner, format } = spec;
  const made = { sizeBytes, allocatedBytes: 0, created: present === undefined };
  const restore = spec.snapshot?.restore ?? null;
  if (spec.snapshot !== undefined && (present === undefined || (restore !== null && restore !== present.restored))) {
    if (restore !== null && isOpen(kernel, spec.volumeUid)) throw replicaInUse(spec.volumeUid);
    const copy = snapshotIn(site, spec.snapshot);
    if (copy.sizeBytes > sizeBytes) throw snapshotLarger(spec.snapshot.uid, copy.sizeBytes, sizeBytes);
    const { rows } = copy;
    const origin = { copy: copy.owner.actor, rows, restore };
    kernel.replicas.set(spec.volumeUid, { owner, format, sizeBytes, rows, restored: restore, origin });
    return made;
  }
  if (present === undefined && spec.image !== null) {
    const copy = kernel.copies.get(`${spec.image.sha256}.${spec.image.format}`);
    if (copy === undefined) throw blobMissing(spec.image.sha256);
    if (copy.proof.virtualSizeBytes > sizeBytes) throw imageLarger(copy.proof.virtualSizeBytes, sizeBytes);
  }
  kernel.replicas.set(spec.volumeUid, { rows: 0, ...present, owner, format, sizeBytes });
  return made;
}

/** Here, or carried from the host that has it. */
function snapshotIn({ kernel, options }: SimulatedSite, { uid, host }: NonNullable<ReplicaSpec['snapshot']>): Replica {
  const from = host === kernel.host ? kernel : options.peer(host);
  if (from === undefined) throw snapshotUnfetched(uid, host, 'it does not answer', undefined);
  const found = from.replicas.get(uid);
  if (found?.takenAt !== undefined) return found;
  throw from === kernel ? snapshotMissing(uid) : snapshotUnfetched(uid, host, 'it has none', undefined);
}

const isOpen = ({ incarnations, exports }: SimulatedKernel, volumeUid: string): boolean =>
  [...exports.values()].some((one) => one.volumeUid === volumeUid) ||
  [...incarnations.values()].some(({ spec }) =>
    spec.disks.some((disk) => disk.volumeUid === volumeUid && (disk.source ?? null) === null),
  );
