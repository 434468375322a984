/** Events of the image-copy chart; see docs/protocol.md. */
import type { Failure } from '../values/failures.ts';
import type { Meta } from '../values/requests.ts';
import type { CopyFetchSpec, CopyImportSpec, CopyProof } from '../values/wiring.ts';

interface Failed {
  error: Failure;
  meta: Meta;
}

export type ImageCopyEvent =
  | { type: 'copy.import'; image: string; spec: CopyImportSpec; meta: Meta }
  | { type: 'copy.fetch'; image: string; spec: CopyFetchSpec; meta: Meta }
  | { type: 'copy.remove'; meta: Meta }
  | { type: 'host.gone'; meta: Meta }
  | { type: 'image.inspect.done'; meta: Meta }
  | ({ type: 'image.inspect.failed' } & Failed)
  | ({ type: 'image.inspect.unknown' } & Failed)
  | { type: 'image.import.done'; proof: CopyProof; meta: Meta }
  | ({ type: 'image.import.failed' } & Failed)
  | ({ type: 'image.import.unknown' } & Failed)
  | { type: 'image.fetch.done'; proof: CopyProof; meta: Meta }
  | ({ type: 'image.fetch.failed' } & Failed)
  | ({ type: 'image.fetch.unknown' } & Failed)
  | { type: 'image.remove.done'; meta: Meta }
  | ({ type: 'image.remove.failed' } & Failed)
  | ({ type: 'image.remove.unknown' } & Failed);
