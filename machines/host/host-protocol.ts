/** Messages and commands of a host: announced by its agent, watched by membership, fenced by operators. */
import { z } from 'zod';
import { hostRefused, hostRegister, hostRegistered } from '../cluster/cluster-protocol.ts';
import { command, defineKind, effect, message, noParams, type EventOf } from '../values/kind.ts';
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
export const hostSilent = message('host.silent', 'From membership: the beat of the host has stopped.', {});
export const hostBack = message('host.back', 'From membership: the host beats again.', {});

export const hostKind = defineKind({
  kind: 'host',
  says: 'A worker host: its facts, and whether it is present, cordoned or fenced.',
  placement: 'sharded',
  commands: {
    cordon: command(noParams, 'Excludes the host from new placements; VMs there keep running.', {
      permission: 'admin',
    }),
    uncordon: command(noParams, 'Allows new placements on the host again.', { permission: 'admin' }),
    fence: command(
      z.strictObject({
        poweredOff: z.literal(true).describe('Confirms that the host is powered off: its VMs are started elsewhere.'),
        reason: z.string().min(1).max(500).describe('How this was verified; kept with the host and in its history.'),
      }),
      'Declares a silent host powered off, so that its VMs may start elsewhere. When it returns, it is cleaned first.',
      { permission: 'admin', exemptFromOverload: true },
    ),
  },
  takes: [hostAnnounce, hostRegistered, hostRefused, hostSilent, hostBack],
  startedBy: [hostAnnounce],
  fromNode: [hostSilent, hostBack],
  sends: [hostRegister, hostAdmitted],
  effects: [
    effect<{ readonly host: string }>()('host.take-over', 'A controller takes over the actors pinned to the host.', {
      /** Last boot of its worker; null after an orderly shutdown. */
      boot: z.string().nullable(),
    }),
  ],
});

export type HostEvent = EventOf<typeof hostKind>;
