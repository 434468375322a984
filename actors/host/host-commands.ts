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
  uncordon: { params: none, permission: 'admin', description: 'Places things on the host again.' },
};
