/**
 * The default security group of every port: egress to anywhere, ingress from the port's own network, and tcp/80 and
 * ping from the overlay of the same VPC, so that an operator can check that a guest answers.
 * Data only; firewall-rules.ts turns it into nft statements. Packets from the VPC's namespace itself are not forwarded,
 * so these rules do not apply to them.
 */

export interface IngressRule {
  /** `network`: addresses of the port's own subnets. `overlay`: the VPC namespaces of other hosts, 169.254.64.0/24. */
  readonly from: 'network' | 'overlay';
  readonly protocol: 'any' | 'tcp' | 'ping';
  /** Set only for tcp. */
  readonly listenPort?: number;
}

export const defaultIngress: readonly IngressRule[] = [
  { from: 'network', protocol: 'any' },
  { from: 'overlay', protocol: 'tcp', listenPort: 80 },
  { from: 'overlay', protocol: 'ping' },
];
