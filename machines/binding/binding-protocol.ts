/** A port on one host: the port actor requests its creation and removal, the incarnation requests its wiring. */
import { z } from 'zod';
import { failureSchema } from '../values/failures.ts';
import { hostGone } from '../values/host-gone.ts';
import { defineKind, effect, message, type EventOf, type ValueOf } from '../values/kind.ts';
import { tapProofSchema, tapSpecSchema, type TapSpec } from '../values/wiring.ts';

export const bindingEnsure = message(
  'binding.ensure',
  'The port requests a tap on the host; each new run gets a new tap.',
  {
    /** The counterpart puts its own uid into the owner. */
    spec: tapSpecSchema,
    port: z.string(),
    /** Wire at once: no VM opens the tap first. */
    direct: z.boolean(),
  },
);
export const bindingRemove = message('binding.remove', 'The port requests its removal from the host.', {
  runEpoch: z.int(),
});
/** A binding as its record in the store shows it. */
export const foundBindingSchema = z.object({
  /** Actor id. */
  port: z.string(),
  runEpoch: z.int(),
  /** Actor ids. */
  vpc: z.string(),
  network: z.string(),
  address: z.string(),
  /** Addresses of its allowed address pairs. */
  pairs: z.array(z.string()),
});
export type FoundBinding = ValueOf<typeof foundBindingSchema>;

export const bindingConfirm = message(
  'binding.confirm',
  'The agent of a host asks a port whether it has its binding there; one that it does not have is removed.',
  {
    host: z.string(),
    hostIndex: z.int(),
    found: foundBindingSchema,
  },
);
export const bindingTapped = message('binding.tapped', 'The tap exists, in state down, ready for QEMU.', {
  host: z.string(),
  runEpoch: z.int(),
  uid: z.string(),
  tap: z.string(),
});
export const bindingReady = message('binding.ready', 'The port is wired; read back from the kernel.', {
  host: z.string(),
  /** The request that this answers, to tell apart late answers to an earlier request. */
  runEpoch: z.int(),
  proof: tapProofSchema,
});
export const bindingFailed = message('binding.failed', 'The tap or its wiring failed on the host.', {
  host: z.string(),
  runEpoch: z.int(),
  error: failureSchema,
});
export const bindingRemoved = message('binding.removed', 'Nothing of the port is left on the host.', {
  host: z.string(),
});
export const bindingWire = message('binding.wire', 'An incarnation has opened the tap and requests its wiring.', {
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
  'The tap of the incarnation cannot be wired: a permanent failure.',
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
  says: 'A port on one host: its tap and the wiring of that tap.',
  placement: 'pinned',
  commands: {},
  takes: [bindingEnsure, bindingRemove, bindingWire, hostGone],
  startedBy: [bindingEnsure, bindingRemove, bindingWire],
  fromNode: [hostGone],
  sends: [bindingTapped, bindingReady, bindingFailed, bindingRemoved, bindingWired, bindingUnwired],
  effects: [
    effect<TapParams>()('tap.create', 'Makes the tap, in state down, in the namespace of the host, for QEMU.', {
      tap: z.string(),
      ifindex: z.int(),
      place: z.enum(['host', 'segment']),
    }),
    effect<TapParams>()('tap.wire', 'Moves the tap into the VPC: rules, neighbour, bridge, DHCP host, route.', {
      proof: tapProofSchema,
    }),
    effect<TapParams>()('tap.watch', 'Ends when the wiring no longer matches its proof.', {
      reason: z.string(),
      detail: z.string(),
    }),
    effect<TapParams>()('tap.remove', 'Removes route, rules, tap and DHCP host from this host.', {}),
  ],
});

export type BindingEvent = EventOf<typeof bindingKind>;
