/**
 * The security group every port has until tenants declare their own: egress anywhere, ingress from the port's own
 * network, plus what lets an operator see that a guest answers: tcp/80 and ping from the overlay of the same VPC.
 * Data only; firewall-rules.ts turns it into statements. The VPC's own namespace is not forwarded and so not asked.
 */

export interface IngressRule {
  /** `network`: addresses of the port's own subnets. `overlay`: the VPC namespaces of other hosts, 169.254.64.0/24. */
  readonly from: 'network' | 'overlay';
  readonly protocol: 'any' | 'tcp' | 'ping';
  /** Only with tcp. */
  readonly listenPort?: number;
}

export const defaultIngress: readonly IngressRule[] = [
  { from: 'network', protocol: 'any' },
  { from: 'overlay', protocol: 'tcp', listenPort: 80 },
  { from: 'overlay', protocol: 'ping' },
];
