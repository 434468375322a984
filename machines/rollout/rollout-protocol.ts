/**
 * Spec and commands of a rollout: NixOS hosts are brought to systems that were built and signed elsewhere. It is of
 * tenant `system`: only operators declare it.
 */
import { z } from 'zod';
import {
  rolloutAsk,
  rolloutClaim,
  rolloutGranted,
  rolloutRefused,
  rolloutRelease,
} from '../cluster/cluster-protocol.ts';
import {
  hostRolloutAbort,
  hostRolloutActivate,
  hostRolloutConfirm,
  hostRolloutReceive,
  hostRolloutStands,
  storePathSchema,
} from '../host-rollout/host-rollout-protocol.ts';
import { hostFollow, hostStands, hostUnfollow } from '../host/host-protocol.ts';
import { nameSchema } from '../values/identifiers.ts';
import { command, declare, defineKind, effect, noParams, type EventOf, type SpecOf } from '../values/kind.ts';

/** As many hosts as a cluster can have. */
const mostHosts = 254;

export const rolloutSpec = z
  .strictObject({
    systems: z
      .array(
        z.strictObject({
          host: nameSchema,
          system: storePathSchema.describe('Store path of the built system.'),
        }),
      )
      .min(1)
      .max(mostHosts)
      .describe('The hosts, and what each is to run. Hosts that are not named are left as they are.'),
    from: z
      .string()
      .regex(/^(?:https?|file|ssh|s3):\/\/[A-Za-z0-9._~:/?&=%@+,-]{1,500}$/, 'must be the address of a binary cache')
      .nullable()
      .default(null)
      .describe('Binary cache that has the closures; null: they were copied to the hosts before.'),
    canary: nameSchema.nullable().default(null).describe('The host that is activated first, alone; null: the first.'),
    maxParallel: z.int().min(1).max(32).default(1).describe('Hosts that are activated at the same time afterwards.'),
    holdAfterCanary: z
      .boolean()
      .default(false)
      .describe('Whether the others wait for the command confirm once the canary runs its system.'),
    deadlineSeconds: z
      .int()
      .min(5)
      .max(86_400)
      .default(3_600)
      .describe('How long a host may take to receive its system, and then to activate it, before it counts as failed.'),
  })
  .meta({ id: 'RolloutSpec' });

export const rolloutReach = effect<{ readonly id: string; readonly hosts: readonly string[] }>()(
  'rollout.reach',
  'A controller opens a new connection to each host, and reads there that its agent waits for a confirmation.',
  {
    results: z.array(z.object({ host: z.string(), /** Null: it was reached. */ error: z.string().nullable() })),
  },
);

export const rolloutKind = defineKind({
  kind: 'rollout',
  says: 'NixOS hosts get systems that were built elsewhere: one first, then a few at a time, until one fails.',
  placement: 'sharded',
  declared: declare(rolloutSpec, {
    changes: {
      systems: 'replace',
      from: 'replace',
      canary: 'replace',
      maxParallel: 'replace',
      holdAfterCanary: 'replace',
      deadlineSeconds: 'replace',
    },
    parents: [],
    references: ({ systems }) =>
      systems.map(({ host }, at) => ({ path: `systems.${at}.host`, kind: 'host', name: host })),
    permission: 'admin',
    ofSystem: true,
    columns: {
      hosts: ({ systems }) => systems.length,
      confirmed: (_, { confirmed }) => confirmed,
      canary: (_, { canary }) => canary,
      parallel: ({ maxParallel }) => maxParallel,
    },
    says: {
      create:
        'Begins a rollout. Rejected rollout_busy while another one is under way, and host_silent when a host is not ' +
        'present.',
      update: 'Changes labels and protection only: another rollout is another object.',
      delete: 'Forgets a rollout that has ended; its hosts stay as they are. Rejected while it is under way.',
    },
  }),
  commands: {
    confirm: command(noParams, 'Lets the others follow a canary that was held.', { permission: 'admin' }),
    abort: command(
      noParams,
      'Ends a rollout: no further host is activated, and those that are not confirmed go back. Answered at once.',
      { permission: 'admin' },
    ),
  },
  takes: [rolloutGranted, rolloutRefused, rolloutAsk, hostStands, hostRolloutStands],
  // One that does not exist says that it is not under way.
  startedBy: [rolloutAsk],
  fromNode: [],
  sends: [
    rolloutClaim,
    rolloutRelease,
    hostFollow,
    hostUnfollow,
    hostRolloutReceive,
    hostRolloutActivate,
    hostRolloutConfirm,
    hostRolloutAbort,
  ],
  effects: [rolloutReach],
});

export type RolloutEvent = EventOf<typeof rolloutKind>;
export type RolloutSpec = SpecOf<typeof rolloutKind>;
