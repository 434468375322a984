/**
 * Rules of security groups: their form, and which packets they admit. `admits` is the reference for what the kernel
 * does: tests compare the two, and the dataplane uses it to find flows that a change has revoked. Pure functions.
 *
 * A port has groups. A packet that opens a flow passes when a rule of one of the sender's groups admits it as egress
 * and a rule of one of the receiver's groups admits it as ingress. Packets of a flow that was admitted pass, and so do
 * its answers. A port without groups sends and receives nothing.
 */
import { z } from 'zod';
import { addressOf, canonicalProblem, cidrOf, contains } from './addresses.ts';
import type { ValueOf } from './kind.ts';

/** Numbers of protocols that have a name, and for which a rule uses the name. */
export const protocolNumbers = { icmp: 1, tcp: 6, udp: 17, sctp: 132 } as const;
export type ProtocolName = keyof typeof protocolNumbers;
const portProtocols: ReadonlySet<unknown> = new Set(['tcp', 'udp', 'sctp']);

const portSchema = z.int().min(1).max(65_535);

/**
 * A rule of a group. @param reference form of a name of another object: a name in a spec, an actor id on hosts
 */
export const ruleSchema = <Reference extends z.ZodType<string>>(reference: Reference) =>
  z.strictObject({
    direction: z.enum(['ingress', 'egress']),
    protocol: z
      .union([z.enum(['any', 'tcp', 'udp', 'sctp', 'icmp']), z.int().min(0).max(255)])
      .default('any')
      .describe('A name, or the number of a protocol that has no name here.'),
    ports: z
      .strictObject({ from: portSchema, to: portSchema })
      .nullable()
      .default(null)
      .describe('Destination ports of tcp, udp or sctp, both included; null: all.'),
    icmp: z
      .strictObject({ type: z.int().min(0).max(255), code: z.int().min(0).max(255).nullable().default(null) })
      .nullable()
      .default(null)
      .describe('Type and code of icmp; null: all.'),
    remote: z
      .union([
        z.strictObject({ cidr: z.string().max(18) }),
        z.strictObject({ group: reference }),
        z.strictObject({ addressSet: reference }),
        z.strictObject({ serviceIp: reference }),
      ])
      .nullable()
      .default(null)
      .describe(
        'The other end: source of ingress, destination of egress. cidr: IPv4 such as 192.0.2.0/24; group: the ' +
          'addresses of the ports of a security group; addressSet: an address set of the VPC; serviceIp, for egress: ' +
          'flows to a service IP, whichever backend they reach, with the ports of the service IP; null: every address.',
      ),
  });

/** A rule as hosts get it: other groups and address sets by their actor ids. */
export const groupRuleSchema = ruleSchema(z.string().max(120));
export type GroupRule = ValueOf<typeof groupRuleSchema>;
export type Remote = GroupRule['remote'];

/** What hosts are told of a group: the element of section `security-groups`, keyed by the group's id. */
export const groupElement = z.strictObject({ rules: z.array(groupRuleSchema).max(200) });
export type GroupElement = ValueOf<typeof groupElement>;

/** What hosts are told of a port's address: the element of section `group-members`, keyed by the address. */
export const memberElement = z.strictObject({ groups: z.array(z.string()).max(5) });
export type MemberElement = ValueOf<typeof memberElement>;

/** What passes beside the rules of groups, for people; actors/dataplane/firewall realizes it. */
export const platformAllows: readonly string[] = [
  'ARP, and DHCP with the server of the network',
  'echo requests to the gateways of the VPC',
  'tcp/80 and echo requests from the VPC namespaces of hosts (169.254.64.0/24), with which operators look at guests',
  'answers in flows that were let in, and ICMP errors about them',
];

export interface RuleProblem {
  readonly code: string;
  /** Below the rule: `ports`, `remote.cidr`. */
  readonly path: string;
  readonly message: string;
}

/** What is wrong with a rule that has the right form. */
export function ruleProblem({ direction, protocol, ports, icmp, remote }: GroupRule): RuleProblem | undefined {
  const problem = (code: string, path: string, message: string): RuleProblem => ({ code, path, message });
  const named = Object.entries(protocolNumbers).find(([, number]) => number === protocol);
  if (named !== undefined) return problem('protocol_named', 'protocol', `protocol ${protocol} is written ${named[0]}`);
  if (ports !== null && !portProtocols.has(protocol))
    return problem('ports_unused', 'ports', `protocol ${protocol} has no ports; remove them, or say tcp, udp or sctp`);
  if (ports !== null && ports.from > ports.to)
    return problem('ports_reversed', 'ports', `${ports.from} is above ${ports.to}; write the smaller port as from`);
  if (icmp !== null && protocol !== 'icmp')
    return problem('icmp_unused', 'icmp', `protocol ${protocol} has no icmp type; remove it, or say icmp`);
  if (remote !== null && 'serviceIp' in remote && direction === 'ingress')
    return problem(
      'service_ip_ingress',
      'remote.serviceIp',
      'no flow comes from a service IP; name it in an egress rule',
    );
  const wrong = remote !== null && 'cidr' in remote ? canonicalProblem(remote.cidr) : undefined;
  return wrong === undefined ? undefined : problem('cidr_invalid', 'remote.cidr', wrong);
}

/** The packet that opens a flow. */
export interface OpeningPacket {
  readonly source: string;
  /** Of a flow to a service IP: the backend. */
  readonly destination: string;
  /** IP protocol number. */
  readonly protocol: number;
  /** Of tcp, udp and sctp. */
  readonly destinationPort?: number;
  readonly icmp?: { readonly type: number; readonly code: number };
  /** Of a flow to a service IP: where it was sent, before it was led to a backend. */
  readonly service?: { readonly address: string; readonly port: number };
}

/** What groups and sets contain now. */
export interface GroupPolicy {
  /** Group id -> rules. A group that is missing admits nothing. */
  readonly rules: ReadonlyMap<string, readonly GroupRule[]>;
  /** Address -> ids of the groups of its port. */
  readonly members: ReadonlyMap<string, readonly string[]>;
  /** Address set id -> CIDRs. A set that is missing is empty. */
  readonly addressSets: ReadonlyMap<string, readonly string[]>;
  /** Service IP id -> its address. */
  readonly serviceIps: ReadonlyMap<string, string>;
}

/** Whether a rule of these groups admits the packet in this direction. */
export function admits(
  policy: GroupPolicy,
  groups: readonly string[],
  direction: GroupRule['direction'],
  packet: OpeningPacket,
): boolean {
  const rules = groups.flatMap((group) => policy.rules.get(group) ?? []);
  return rules.some((rule) => {
    if (rule.direction !== direction) return false;
    const { remote } = rule;
    if (remote !== null && 'serviceIp' in remote) return fitsService(policy, rule, remote.serviceIp, packet);
    const other = direction === 'ingress' ? packet.source : packet.destination;
    return fitsPacket(rule, packet) && fitsRemote(policy, remote, other);
  });
}

/** Ports of such a rule are those of the service IP, not of its backends. */
function fitsService({ serviceIps }: GroupPolicy, rule: GroupRule, id: string, packet: OpeningPacket): boolean {
  const { service } = packet;
  if (service === undefined || service.address !== serviceIps.get(id)) return false;
  return fitsPacket(rule, { ...packet, destinationPort: service.port });
}

function fitsPacket({ protocol, ports, icmp }: GroupRule, packet: OpeningPacket): boolean {
  if (protocol === 'any') return true;
  if (packet.protocol !== (typeof protocol === 'number' ? protocol : protocolNumbers[protocol])) return false;
  const { destinationPort } = packet;
  if (
    ports !== null &&
    !(destinationPort !== undefined && destinationPort >= ports.from && destinationPort <= ports.to)
  )
    return false;
  if (icmp === null) return true;
  return packet.icmp?.type === icmp.type && (icmp.code === null || packet.icmp.code === icmp.code);
}

type RemoteAddress = Exclude<Remote, { readonly serviceIp: string }>;

function fitsRemote({ members, addressSets }: GroupPolicy, remote: RemoteAddress, address: string): boolean {
  if (remote === null) return true;
  if ('group' in remote) return members.get(address)?.includes(remote.group) === true;
  const cidrs = 'cidr' in remote ? [remote.cidr] : (addressSets.get(remote.addressSet) ?? []);
  return cidrs.some((cidr) => contains(cidrOf(cidr), addressOf(address)));
}
