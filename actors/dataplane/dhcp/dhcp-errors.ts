/** What dnsmasq says when it cannot start, and what that means for the caller. */
import type { ErrorRule } from '../kernel-errors.ts';

export const dhcpErrors: readonly ErrorRule[] = [
  {
    says: /bad option|bad dhcp-|illegal|unrecognised|unknown user|inconsistent/i,
    group: 'defeat',
    code: 'dnsmasq_refused',
    advice: 'dnsmasq does not take our configuration; this version needs an operator.',
  },
  {
    says: /dnsmasq|Address already in use|unknown interface/i,
    group: 'fault',
    code: 'dnsmasq_failed',
    advice: 'Try again; if it stays, look for another DHCP server in the namespace.',
  },
];
