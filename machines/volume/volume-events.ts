/** Events of the volume chart; see docs/protocol.md. */
import type { Failure } from '../values/failures.ts';
import type { Meta } from '../values/requests.ts';
import type { DiskFormat, HostFacts } from '../values/wiring.ts';

export interface VolumeSpec {
  readonly sizeMib: number;
  readonly format: DiskFormat;
  /** Name of the image its first bytes come from, or null for an empty disk. */
  readonly image: string | null;
}

export type VolumeEvent =
  | ({ type: 'volume.create'; meta: Meta } & VolumeSpec)
  | { type: 'volume.delete'; meta: Meta }
  | { type: 'quota.granted'; meta: Meta }
  | { type: 'quota.refused'; error: Failure; meta: Meta }
  | { type: 'volume.locate'; vm: string; meta: Meta }
  | { type: 'volume.attach'; vm: string; host: HostFacts; runEpoch: number; meta: Meta }
  | { type: 'volume.detach'; vm: string; meta: Meta }
  | { type: 'image.provided'; image: string; host: string; sha256: string; format: DiskFormat; meta: Meta }
  | { type: 'image.refused'; image: string; error: Failure; meta: Meta }
  | { type: 'replica.ready'; host: string; meta: Meta }
  | { type: 'replica.failed'; host: string; error: Failure; meta: Meta }
  | { type: 'replica.removed'; host: string; meta: Meta };
