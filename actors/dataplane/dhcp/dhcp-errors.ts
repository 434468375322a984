/** Error messages of dnsmasq when it cannot start, with the error that each becomes. */
import type { ErrorRule } from '../kernel-errors.ts';

export const dhcpErrors: readonly ErrorRule[] = [
  {
    matches: /bad option|bad dhcp-|illegal|unrecognised|unknown user|inconsistent/i,
    group: 'defeat',
    code: 'dnsmasq_refused',
    advice: 'dnsmasq does not accept our configuration; an operator must look at its version.',
  },
  {
    matches: /dnsmasq|Address already in use|unknown interface/i,
    group: 'fault',
    code: 'dnsmasq_failed',
    advice: 'Try again; if the error persists, look for another DHCP server in the namespace.',
  },
];
