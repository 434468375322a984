/** Events of the image chart; see docs/protocol.md. */
import type { Failure } from '../values/failures.ts';
import type { Meta } from '../values/requests.ts';
import type { CopyProof, HostFacts, ImageFormat } from '../values/wiring.ts';

export interface ImageSpec {
  readonly source: { readonly path: string };
  readonly format: ImageFormat;
  readonly sha256: string | null;
  /** Host whose file it is; null takes the first host that allows the path. */
  readonly host: string | null;
}

export type ImageEvent =
  | ({ type: 'image.create'; meta: Meta } & ImageSpec)
  | { type: 'image.delete'; meta: Meta }
  | { type: 'quota.granted'; meta: Meta }
  | { type: 'quota.refused'; error: Failure; meta: Meta }
  | { type: 'import.placed'; host: HostFacts; meta: Meta }
  | { type: 'import.refused'; error: Failure; meta: Meta }
  | { type: 'copy.inspected'; host: string; meta: Meta }
  | { type: 'copy.ready'; host: string; proof: CopyProof; meta: Meta }
  | { type: 'copy.rejected'; host: string; error: Failure; meta: Meta }
  | { type: 'copy.lost'; host: string; meta: Meta }
  | { type: 'copy.removed'; host: string; meta: Meta }
  | { type: 'image.need'; holder: string; host: HostFacts; meta: Meta }
  | { type: 'image.free'; holder: string; meta: Meta };
