/**
 * Messages and the effect of a rollout on one host. The agent of the host (`photon nix-agent`, a program of its own)
 * does the work and outlives the worker; this kind asks it and follows its record.
 */
import { z } from 'zod';
import { hostGone } from '../values/host-gone.ts';
import { defineKind, effect, message, type EventOf, type ValueOf } from '../values/kind.ts';

/** A path of a Nix store: the top of a closure. */
export const storePathSchema = z
  .string()
  .max(300)
  .regex(
    /^\/[A-Za-z0-9._+/-]+\/[a-z0-9]{32}-[A-Za-z0-9._+?=-]+$/,
    'must be a path of a Nix store, such as nix build makes',
  );

/** States of the record of a host's agent, in their order; the last four are ends. */
export const agentStates = [
  'received',
  'fetched',
  'verified',
  'staged',
  'activating',
  'probing',
  'awaiting-confirmation',
  'rolling-back',
  'confirmed',
  'refused',
  'rolled-back',
  'failed',
] as const;
export type AgentState = (typeof agentStates)[number];
const agentStateSchema = z.enum(agentStates);

/** How far a host is. The last five are ends; only after `confirmed` does the new system stay. */
export const hostPhases = [
  'receiving',
  'verifying',
  'verified',
  'activating',
  'probing',
  'confirming',
  'rollingBack',
  'confirmed',
  'untouched',
  'refused',
  'rolledBack',
  'failed',
] as const;
export type HostPhase = (typeof hostPhases)[number];

/** What the host is to do next: each includes what is before it, but the last. */
export type SystemOrder = 'hold' | 'activate' | 'confirm' | 'abort';

/** What the agent of a host is asked. */
export const systemRequestSchema = z.object({
  /** Uid of the rollout: tells two requests for the same system apart. */
  id: z.string(),
  system: z.string(),
  /** Binary cache that has the closure; null: it is there already. */
  from: z.string().nullable(),
  /** Time on the shared clock, ms: the agent takes none that is older than the one it has. */
  askedAt: z.number(),
});
export type SystemRequest = ValueOf<typeof systemRequestSchema>;

export const hostRolloutReceive = message(
  'host-rollout.receive',
  'The host is to receive and verify a system, and then to wait.',
  { rollout: z.string(), request: systemRequestSchema },
);
export const hostRolloutActivate = message('host-rollout.activate', 'The host is to activate what it has verified.', {
  /** Time of the decision on the shared clock, ms: an order that took long is not obeyed. */
  decidedAt: z.number(),
});
export const hostRolloutConfirm = message(
  'host-rollout.confirm',
  'A controller has reached the host over a new connection: its new system stays.',
  {},
);
export const hostRolloutAbort = message(
  'host-rollout.abort',
  'The host is to leave its system, or to go back to it.',
  {},
);
export const hostRolloutStands = message('host-rollout.stands', 'How far the rollout on the host is.', {
  host: z.string(),
  phase: z.enum(hostPhases),
  /** Why, for people; empty: nothing is to be said. */
  why: z.string(),
});

/** Older than this, an order to activate may be of a rollout that has stopped since. */
export const orderFreshMs = 30_000;

export const systemFollow = effect<{
  readonly request: SystemRequest;
  readonly order: SystemOrder;
  readonly seen: AgentState | null;
}>()(
  'system.follow',
  'Asks the agent of the host for the system, hands it the order, and ends when its record is not as it was seen.',
  {
    /** Null: nobody has taken the request. */
    state: agentStateSchema.nullable(),
    why: z.string(),
  },
);

export const hostRolloutKind = defineKind({
  kind: 'host-rollout',
  says: 'A rollout on one host: what the agent of the host is asked, and how far its record is.',
  placement: 'pinned',
  commands: {},
  takes: [hostRolloutReceive, hostRolloutActivate, hostRolloutConfirm, hostRolloutAbort, hostGone],
  startedBy: [hostRolloutReceive],
  fromNode: [hostGone],
  sends: [hostRolloutStands],
  effects: [systemFollow],
});

export type HostRolloutEvent = EventOf<typeof hostRolloutKind>;
