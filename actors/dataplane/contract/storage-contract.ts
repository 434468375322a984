/**
 * The storage part of the dataplane's interface: image copies (by digest) and replicas (a volume's file on this host).
 * A format is declared once, checked by our own header reader before the file is accepted, and never probed again.
 * Effects of `image-copy` and `replica` call it; other hosts read blobs through openBlob.
 */
import type { Readable } from 'node:stream';
import type {
  CopyFetchSpec,
  CopyGatherSpec,
  CopyImportSpec,
  CopyProgress,
  CopyProof,
  ImageFormat,
  OwnerToken,
  ReplicaSpec,
} from '@photoncloud/machines/values/wiring';
import type { Call } from './call-contract.ts';

/** Of the peer server of a worker: bytes of a client are posted to `<this><tenant>/<image>?offset=`. */
export const incomingPath = '/incoming/';

/** Of the peer server of a worker: figures of its volumes, or of the one whose uid follows. */
export const volumeFiguresPath = '/figures/volumes/';

/**
 * What a volume has and does on a host: `sizeBytes`, `allocatedBytes` where its bytes are; `readBytes`, `writtenBytes`,
 * `readOperations`, `writeOperations`, `flushOperations` where its guest is, counted from the start of that QEMU.
 */
export interface VolumeFigures {
  /** Actor id. */
  readonly volume: string;
  readonly uid: string;
  readonly figures: Readonly<Record<string, number>>;
}

export interface CopyRef {
  readonly owner: OwnerToken;
  /** Null: only what was gathered until now. */
  readonly sha256: string | null;
  readonly format: ImageFormat;
}

export interface Gathered extends CopyProgress {
  readonly isWhole: boolean;
}

export interface ReplicaRef {
  readonly owner: OwnerToken;
  readonly volumeUid: string;
}

export interface ReplicaProof {
  readonly sizeBytes: number;
  /** Bytes allocated on disk; holes are not counted. */
  readonly allocatedBytes: number;
  /** False when it was already there. */
  readonly created: boolean;
}

/** Why a file is not accepted as an image: the error codes of the defeats of importCopy and inspectImage. */
export type ImageRefusal =
  | 'path_not_absolute'
  | 'path_outside_roots'
  | 'path_missing'
  | 'path_is_link'
  | 'path_not_regular'
  | 'path_unreadable'
  | 'path_private'
  | 'path_has_links'
  | 'image_empty'
  | 'format_lies'
  | 'format_unsupported'
  | 'format_ambiguous'
  | 'partition_table'
  | 'qcow2_malformed'
  | 'qcow2_version'
  | 'qcow2_backing_file'
  | 'qcow2_data_file'
  | 'qcow2_encrypted'
  | 'qcow2_incompatible'
  | 'qcow2_size'
  | 'qcow2_bomb'
  | 'qcow2_unusable'
  | 'digest_mismatch'
  | 'source_url'
  | 'source_denied'
  | 'source_redirects'
  | 'source_refused'
  | 'source_encoded'
  | 'source_too_large';

export interface ImageFile {
  readonly path: string;
  readonly format: ImageFormat;
  /** The digest the file must have; without it any digest is accepted. */
  readonly sha256?: string | null;
}

/** Bounds of a fetch from an address. */
export interface SourceLimits {
  readonly maxBytes: number;
  /** From the question for the name to the head of the answer, for each request. */
  readonly headMs: number;
  /** In each such time at least one byte, and `minBytesPerS` on average. */
  readonly windowMs: number;
  readonly minBytesPerS: number;
}

export interface StorageDataplane {
  /** Reads header and digest and stores nothing. @throws defeat with an ImageRefusal as its code */
  inspectImage(image: ImageFile, call: Call): Promise<CopyProof>;
  /**
   * Copies the file and computes its digest in one pass. @throws defeat ImageRefusal; fault `storage_full`,
   * `storage_failed`
   */
  importCopy(spec: CopyImportSpec, call: Call): Promise<CopyProof>;
  /**
   * Takes bytes from the address of the spec, or waits for those of a client, from the first one that is missing. It
   * answers once the begin of the image was accepted, then each time after some seconds: call it again until all bytes
   * are there. A refusal leaves nothing, a fault keeps what has come. @throws defeat ImageRefusal; fault
   * `source_unreachable`, `source_failed`, `source_range`, `source_slow`, `source_broke`, `storage_full`,
   * `storage_failed`
   */
  gatherCopy(spec: CopyGatherSpec, call: Call): Promise<Gathered>;
  /**
   * Takes bytes of a client for a copy that is gathered; `actor` is its id. Bytes that do not begin at the first
   * missing one are not taken; the answer says which one that is. @throws fault `upload_not_ready`, defeat ImageRefusal
   */
  putGathered(actor: string, offset: number, bytes: Buffer): Promise<Gathered>;
  /** Checks what was gathered and makes it a copy. @throws defeat ImageRefusal; fault `gathered_missing` */
  storeGathered(spec: CopyGatherSpec, call: Call): Promise<CopyProof>;
  /** Fetches it from another host. @throws fault `fetch_failed`, `storage_full`; defeat `digest_mismatch` */
  fetchCopy(spec: CopyFetchSpec, call: Call): Promise<CopyProof>;
  /** Opens a copy so that it can be served to another host. @throws defeat `image_missing` */
  openBlob(sha256: string): Promise<{ readonly stream: Readable; readonly sizeBytes: number }>;
  /** Removes what this owner has gathered, and it from the copy; the file is deleted with its last owner. */
  removeCopy(copy: CopyRef, call: Call): Promise<{ readonly removed: boolean }>;

  /**
   * A file that is smaller grows, also while a guest uses it. One that is to be restored is replaced as a whole, once
   * for each uid of a restoration. @throws fault `storage_full`, `storage_failed`, `fetch_failed`, `replica_in_use`;
   * defeat `image_missing`, `image_larger`, `replica_differs`, `snapshot_missing`, `snapshot_larger`
   */
  ensureReplica(spec: ReplicaSpec, call: Call): Promise<ReplicaProof>;
  readReplica(replica: ReplicaRef, call: Call): Promise<ReplicaProof | null>;
  removeReplica(replica: ReplicaRef, call: Call): Promise<{ readonly removed: boolean }>;
  /** Of the volumes whose bytes or guests are here, or of the one that is named by its uid. */
  readVolumeFigures(volumeUid: string | null): Promise<readonly VolumeFigures[]>;
}
