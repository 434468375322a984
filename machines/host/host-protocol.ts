/** A worker host as the control plane sees it: announced by its agent, watched by membership, fenced by operators. */
import { z } from 'zod';
import { hostRefused, hostRegister, hostRegistered } from '../cluster/cluster-protocol.ts';
import { command, defineKind, effect, message, noParams, type EventOf } from '../values/kind.ts';
import { hostReportSchema } from './host-report.ts';

export const hostAnnounce = message('host.announce', 'The worker of a host has started and says what the host has.', {
  host: z.string(),
  boot: z.string(),
  facts: hostReportSchema,
});
export const hostAdmitted = message('host.admitted', 'The host is part of the cluster.', {
  index: z.int(),
  boot: z.string(),
});
export const hostSilent = message('host.silent', 'Membership: the beat of the host has stood still.', {});
export const hostBack = message('host.back', 'Membership: the host beats again.', {});

export const hostKind = defineKind({
  kind: 'host',
  says: 'A worker host: what it has, whether it beats, whether work is placed on it, whether it is fenced.',
  placement: 'sharded',
  commands: {
    cordon: command(noParams, 'Places nothing new on the host; what runs there runs on.', { permission: 'admin' }),
    uncordon: command(noParams, 'Places things on the host again.', { permission: 'admin' }),
    fence: command(
      z.strictObject({
        poweredOff: z.literal(true).describe('Says that the host is powered off: what ran there is started elsewhere.'),
        reason: z.string().min(1).max(500).describe('How that is known; kept with the host and in its history.'),
      }),
      'Declares a silent host powered off. Its VMs may start elsewhere; back again, it is emptied before it serves.',
      { permission: 'admin', exemptFromOverload: true },
    ),
  },
  takes: [hostAnnounce, hostRegistered, hostRefused, hostSilent, hostBack],
  startedBy: [hostAnnounce],
  fromNode: [hostSilent, hostBack],
  sends: [hostRegister, hostAdmitted],
  effects: [
    effect<{ readonly host: string }>()('host.take-over', 'A controller takes over the actors pinned to the host.', {
      /** Last boot of its worker; null when that had left in good order. */
      boot: z.string().nullable(),
    }),
  ],
});

export type HostEvent = EventOf<typeof hostKind>;
