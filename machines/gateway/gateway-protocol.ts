/**
 * Messages and effects of a gateway: an external network on one of its gateway hosts. The external network decides
 * which of two hosts leads (machines/external-network/gateway-election.ts); a gateway reports what its host sees.
 */
import { z } from 'zod';
import { failureSchema } from '../values/failures.ts';
import { hostGone } from '../values/host-gone.ts';
import { defineKind, effect, message, type EventOf } from '../values/kind.ts';
import { uplinkProofSchema, uplinkSpecSchema, type GatewayAsk, type GatewayPeer } from '../values/router-elements.ts';
import { hostFactsSchema } from '../values/wiring.ts';

/** What a gateway is to do; `term` grows with each change of it. */
export const gatewayTaskSchema = z.object({
  /** Id and uid of the external network. */
  network: z.string(),
  uid: z.string(),
  uplink: uplinkSpecSchema,
  /** The other gateway host; null when there is none. */
  peer: hostFactsSchema.nullable(),
  /** The host may forward for the external network. */
  leads: z.boolean(),
  term: z.int(),
});

export const gatewayEnsure = message(
  'gateway.ensure',
  'The external network gives the host its task, or confirms it.',
  {
    ...gatewayTaskSchema.shape,
    /** Time of the decision on the shared clock, ms: an order to lead that took long is not obeyed, but asked about. */
    decidedAt: z.number(),
  },
);
export const gatewayDrop = message('gateway.drop', 'The host is no gateway of the external network any more.', {});
export const gatewayStands = message('gateway.stands', 'What the gateway sees, and whether it may have the permit.', {
  host: z.string(),
  term: z.int(),
  /** It may forward: false only after the kernel was seen without the permit, in this term. */
  leads: z.boolean(),
  /** It leads only when that is confirmed. */
  doubts: z.boolean(),
  /** Null while the uplink cannot be used, or is not looked at yet. */
  uplink: uplinkProofSchema.nullable(),
  /** Whether it hears the other gateway host. */
  heard: z.boolean(),
  error: failureSchema.nullable(),
});
export const gatewayDropped = message('gateway.dropped', 'The host has no permit, or is fenced.', { host: z.string() });

export const gatewayKind = defineKind({
  kind: 'gateway',
  says: 'An external network on a gateway host: its uplink, its permit, and whether it hears the other gateway host.',
  placement: 'pinned',
  commands: {},
  takes: [gatewayEnsure, gatewayDrop, hostGone],
  startedBy: [gatewayEnsure, gatewayDrop],
  fromNode: [hostGone],
  sends: [gatewayStands, gatewayDropped],
  effects: [
    effect<GatewayAsk>()(
      'gateway.check',
      'Looks at the uplink; the permit of a host that is not to lead is ended first.',
      {
        ...uplinkProofSchema.shape,
      },
    ),
    effect<GatewayAsk & { readonly peer: GatewayPeer | null }>()(
      'gateway.watch',
      'Keeps the permit of a host that leads, and ends when it has run out, or the other gateway host is heard or not.',
      { heard: z.boolean(), lapsed: z.boolean() },
    ),
  ],
});

export type GatewayEvent = EventOf<typeof gatewayKind>;
