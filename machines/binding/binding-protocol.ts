/** A port on one host: its port has it made and removed, the incarnation that takes its tap has it wired. */
import { z } from 'zod';
import { failureSchema } from '../values/failures.ts';
import { hostGone } from '../values/host-gone.ts';
import { defineKind, effect, message, type EventOf } from '../values/kind.ts';
import { tapProofSchema, tapSpecSchema, type TapSpec } from '../values/wiring.ts';

export const bindingEnsure = message(
  'binding.ensure',
  'The port wants a tap on the host; for a new run it is made anew.',
  {
    /** The counterpart puts its own uid into the owner. */
    spec: tapSpecSchema,
    port: z.string(),
    /** Wired at once: there is no VM that would take the tap first. */
    direct: z.boolean(),
  },
);
export const bindingRemove = message('binding.remove', 'The port leaves the host.', { runEpoch: z.int() });
export const bindingTapped = message('binding.tapped', 'The tap is there, down, for QEMU to take.', {
  host: z.string(),
  runEpoch: z.int(),
  uid: z.string(),
  tap: z.string(),
});
export const bindingReady = message('binding.ready', 'The port is wired; read back from the kernel.', {
  host: z.string(),
  /** Which request it answers: an earlier one's answer may still be on its way. */
  runEpoch: z.int(),
  proof: tapProofSchema,
});
export const bindingFailed = message('binding.failed', 'The port cannot be made or kept on the host.', {
  host: z.string(),
  runEpoch: z.int(),
  error: failureSchema,
});
export const bindingRemoved = message('binding.removed', 'Nothing of the port is left on the host.', {
  host: z.string(),
});
export const bindingWire = message('binding.wire', 'A run has taken the tap and wants it wired.', {
  /** Actor id of the incarnation. */
  requester: z.string(),
});
export const bindingWired = message('binding.wired', 'The tap of the run is wired; read back from the kernel.', {
  binding: z.string(),
  host: z.string(),
  proof: tapProofSchema,
});
export const bindingUnwired = message(
  'binding.unwired',
  'The tap of the run cannot be wired, and will not be by waiting.',
  {
    binding: z.string(),
    host: z.string(),
    error: failureSchema,
  },
);

export interface TapParams {
  readonly spec: TapSpec;
}

export const bindingKind = defineKind({
  kind: 'binding',
  says: 'A port on one host: its tap, and the wiring of it.',
  placement: 'pinned',
  commands: {},
  takes: [bindingEnsure, bindingRemove, bindingWire, hostGone],
  startedBy: [bindingEnsure, bindingRemove, bindingWire],
  fromNode: [hostGone],
  sends: [bindingTapped, bindingReady, bindingFailed, bindingRemoved, bindingWired, bindingUnwired],
  effects: [
    effect<TapParams>()('tap.create', 'Makes the tap, down, where QEMU can take it.', {
      tap: z.string(),
      ifindex: z.int(),
      place: z.enum(['host', 'segment']),
    }),
    effect<TapParams>()('tap.wire', 'Moves the tap into the VPC: rules, neighbour, bridge, DHCP host, route.', {
      proof: tapProofSchema,
    }),
    effect<TapParams>()('tap.watch', 'Ends when the wiring is not what was proved any more.', {
      reason: z.string(),
      detail: z.string(),
    }),
    effect<TapParams>()('tap.remove', 'Takes route, rules, tap and DHCP host off this host.', {}),
  ],
});

export type BindingEvent = EventOf<typeof bindingKind>;
