/** What `ip` says about a network's bridge, and what that means for the caller. */
import type { ErrorRule } from '../kernel-errors.ts';

export const bridgeErrors: readonly ErrorRule[] = [
  {
    says: /Cannot find device|does not exist/i,
    group: 'fault',
    code: 'network_missing',
    advice: 'Its bridge is gone; ensure the segment.',
  },
];
