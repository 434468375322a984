/** Error messages of `ip` for a network's bridge, with the error that each becomes. */
import type { ErrorRule } from '../kernel-errors.ts';

export const bridgeErrors: readonly ErrorRule[] = [
  {
    matches: /Cannot find device|does not exist/i,
    group: 'fault',
    code: 'network_missing',
    advice: 'The bridge of the network is gone; ensure the segment.',
  },
];
