/** Messages and commands of a host: announced by its agent, watched by membership, fenced by operators. */
import { z } from 'zod';
import { hostLost, hostRefused, hostRegister, hostRegistered } from '../cluster/cluster-protocol.ts';
import { drainCancel, drainLimits, drainStands, drainStart } from '../drain/drain-protocol.ts';
import { command, defineKind, effect, message, noParams, type EventOf, type ValueOf } from '../values/kind.ts';
import { hostFactsSchema } from '../values/wiring.ts';
import { hostReportSchema } from './host-report.ts';

export const hostAnnounce = message(
  'host.announce',
  'The worker of a host has started; carries the facts of the host.',
  {
    host: z.string(),
    boot: z.string(),
    facts: hostReportSchema,
  },
);
export const hostAdmitted = message('host.admitted', 'The host is part of the cluster.', {
  index: z.int(),
  boot: z.string(),
});
/** A host is lost when it has been silent for so long: a worker that is started again is back before. */
export const lossDelayMs = 5_000;

export const hostSilent = message('host.silent', 'From membership: the beat of the host has stopped.', {});
export const hostBack = message('host.back', 'From membership: the host beats again.', {});

/** `silent` also stands for a host that has not joined the cluster yet. */
export const hostStandingSchema = z.enum(['present', 'silent', 'fenced']);
export type HostStanding = ValueOf<typeof hostStandingSchema>;

export const hostFollow = message(
  'host.follow',
  'The sender wants to know whether the host is present, now and at every change.',
  {},
);
export const hostUnfollow = message('host.unfollow', 'The sender does not want to know it any more.', {});
export const hostStands = message('host.stands', 'Whether the host is present, silent or fenced.', {
  host: hostFactsSchema,
  standing: hostStandingSchema,
});

export const hostKind = defineKind({
  kind: 'host',
  says: 'A worker host: its facts, and whether it is present, cordoned or fenced.',
  placement: 'sharded',
  commands: {
    cordon: command(noParams, 'Excludes the host from new placements; VMs there keep running.', {
      permission: 'admin',
    }),
    uncordon: command(noParams, 'Allows new placements on the host again.', { permission: 'admin' }),
    drain: command(
      drainLimits,
      'Cordons the host and moves its VMs to others while they run. Answered at once; its status says how far it is.',
      { permission: 'admin' },
    ),
    'cancel-drain': command(noParams, 'Moves no further VM. VMs on their way arrive, and the host stays cordoned.', {
      permission: 'admin',
    }),
    fence: command(
      z.strictObject({
        poweredOff: z.literal(true).describe('Confirms that the host is powered off: its VMs are started elsewhere.'),
        reason: z.string().min(1).max(500).describe('How this was verified; kept with the host and in its history.'),
      }),
      'Declares a silent host powered off, so that its VMs may start elsewhere. When it returns, it is cleaned first.',
      { permission: 'admin', exemptFromOverload: true },
    ),
  },
  takes: [hostAnnounce, hostRegistered, hostRefused, hostSilent, hostBack, hostFollow, hostUnfollow, drainStands],
  startedBy: [hostAnnounce],
  fromNode: [hostSilent, hostBack],
  sends: [hostRegister, hostLost, hostAdmitted, hostStands, drainStart, drainCancel],
  effects: [
    effect<{ readonly host: string }>()('host.take-over', 'A controller takes over the actors pinned to the host.', {
      /** Last boot of its worker; null after an orderly shutdown. */
      boot: z.string().nullable(),
    }),
  ],
});

export type HostEvent = EventOf<typeof hostKind>;
