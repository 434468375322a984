/** What nft says when a rule or an element cannot be changed, and what that means for the caller. */
import type { ErrorRule } from '../kernel-errors.ts';

export const firewallErrors: readonly ErrorRule[] = [
  {
    says: /syntax error|Could not resolve|datatype mismatch/i,
    group: 'defeat',
    code: 'firewall_refused',
    advice: 'nft does not understand a statement of ours; this nft version needs an operator.',
  },
  {
    says: /No such file or directory/i,
    group: 'fault',
    code: 'firewall_missing',
    advice: 'The skeleton or the element is gone; ensure the segment, then the port.',
  },
  {
    says: /File exists/i,
    group: 'fault',
    code: 'firewall_conflict',
    advice: 'Another port has this address; observe and try again.',
  },
];
