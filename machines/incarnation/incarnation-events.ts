/** Events of the incarnation chart; see docs/protocol.md. */
import type { Failure } from '../values/failures.ts';
import type { Meta } from '../values/requests.ts';
import type { IncarnationProof, IncarnationSpec, TapProof } from '../values/wiring.ts';

interface Failed {
  error: Failure;
  meta: Meta;
}

/** How a run came to its end, as the dataplane saw it. */
export type RunEnd = 'guest_shutdown' | 'host_quit' | 'crash' | 'killed' | 'gone';

export type IncarnationEvent =
  | { type: 'incarnation.start'; vm: string; spec: IncarnationSpec; meta: Meta }
  | { type: 'host.gone'; meta: Meta }
  | { type: 'incarnation.stop'; graceMs: number; incarnationUid: string | null; meta: Meta }
  | { type: 'binding.ready'; binding: string; proof: TapProof; meta: Meta }
  | { type: 'binding.failed'; binding: string; error: Failure; meta: Meta }
  | ({ type: 'qemu.start.done'; meta: Meta } & IncarnationProof)
  | ({ type: 'qemu.start.failed' } & Failed)
  | ({ type: 'qemu.start.unknown' } & Failed)
  | { type: 'qemu.resume.done'; meta: Meta }
  | ({ type: 'qemu.resume.failed' } & Failed)
  | ({ type: 'qemu.resume.unknown' } & Failed)
  | { type: 'qemu.watch.done'; reason: RunEnd; detail: string; meta: Meta }
  | ({ type: 'qemu.watch.failed' } & Failed)
  | ({ type: 'qemu.watch.unknown' } & Failed)
  | { type: 'qemu.stop.done'; meta: Meta }
  | ({ type: 'qemu.stop.failed' } & Failed)
  | ({ type: 'qemu.stop.unknown' } & Failed)
  | { type: 'qemu.clean.done'; meta: Meta }
  | ({ type: 'qemu.clean.failed' } & Failed)
  | ({ type: 'qemu.clean.unknown' } & Failed);
