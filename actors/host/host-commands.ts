/** Commands of a host, for operators. */
import type { CommandDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { z } from 'zod';

const none = z.strictObject({});

export const hostCommands: Record<string, CommandDefinition> = {
  cordon: {
    params: none,
    permission: 'admin',
    description: 'Places nothing new on the host; what runs there runs on.',
  },
  fence: {
    params: z.strictObject({
      poweredOff: z.literal(true).describe('Says that the host is off: what ran there is started elsewhere.'),
      reason: z.string().min(1).max(500).describe('How that is known; kept with the host and in its history.'),
    }),
    permission: 'admin',
    exemptFromOverload: true,
    description:
      'Says that a silent host is off. Its VMs may start elsewhere; back again, it is emptied before it serves.',
  },
  uncordon: { params: none, permission: 'admin', description: 'Places things on the host again.' },
};
