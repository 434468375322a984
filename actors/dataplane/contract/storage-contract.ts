/**
 * The storage part of the dataplane's interface: image copies (by digest) and replicas (a volume's file on this host).
 * A format is declared once, checked by our own header reader before the file is accepted, and never probed again.
 * Effects of `image-copy` and `replica` call it; other hosts read blobs through openBlob.
 */
import type { Readable } from 'node:stream';
import type {
  CopyFetchSpec,
  CopyImportSpec,
  CopyProof,
  ImageFormat,
  OwnerToken,
  ReplicaSpec,
} from '@photoncloud/machines/values/wiring';
import type { Call } from './call-contract.ts';

export interface CopyRef {
  readonly owner: OwnerToken;
  readonly sha256: string;
  readonly format: ImageFormat;
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
  | 'qcow2_malformed'
  | 'qcow2_version'
  | 'qcow2_backing_file'
  | 'qcow2_data_file'
  | 'qcow2_encrypted'
  | 'qcow2_incompatible'
  | 'qcow2_size'
  | 'qcow2_unusable'
  | 'digest_mismatch';

export interface ImageFile {
  readonly path: string;
  readonly format: ImageFormat;
  /** The digest the file must have; without it any digest is accepted. */
  readonly sha256?: string | null;
}

export interface StorageDataplane {
  /** Reads header and digest and stores nothing. @throws defeat with an ImageRefusal as its code */
  inspectImage(image: ImageFile, call: Call): Promise<CopyProof>;
  /**
   * Copies the file and computes its digest in one pass. @throws defeat ImageRefusal; fault `storage_full`,
   * `storage_failed`
   */
  importCopy(spec: CopyImportSpec, call: Call): Promise<CopyProof>;
  /** Fetches it from another host. @throws fault `fetch_failed`, `storage_full`; defeat `digest_mismatch` */
  fetchCopy(spec: CopyFetchSpec, call: Call): Promise<CopyProof>;
  /** Opens a copy so that it can be served to another host. @throws defeat `image_missing` */
  openBlob(sha256: string): Promise<{ readonly stream: Readable; readonly sizeBytes: number }>;
  /** Removes this owner from the copy; the file is deleted with its last owner. */
  removeCopy(copy: CopyRef, call: Call): Promise<{ readonly removed: boolean }>;

  /** @throws fault `storage_full`, `storage_failed`; defeat `image_missing`, `replica_differs`, `image_larger` */
  ensureReplica(spec: ReplicaSpec, call: Call): Promise<ReplicaProof>;
  readReplica(replica: ReplicaRef, call: Call): Promise<ReplicaProof | null>;
  removeReplica(replica: ReplicaRef, call: Call): Promise<{ readonly removed: boolean }>;
}
