/** Error messages of nft when a rule or an element cannot be changed, with the error that each becomes. */
import type { ErrorRule } from '../kernel-errors.ts';

export const firewallErrors: readonly ErrorRule[] = [
  {
    matches: /syntax error|Could not resolve|datatype mismatch/i,
    group: 'defeat',
    code: 'firewall_refused',
    advice: 'This nft does not accept our statement; an operator must look at its version.',
  },
  {
    matches: /No such file or directory/i,
    group: 'fault',
    code: 'firewall_missing',
    advice: 'The table or the element is gone; ensure the segment, then the port.',
  },
  {
    matches: /File exists/i,
    group: 'fault',
    code: 'firewall_conflict',
    advice: 'Another port has this address; observe and try again.',
  },
];
