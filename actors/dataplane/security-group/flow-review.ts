/**
 * Ends running flows that the security groups do not admit any more. Packets of a flow that was admitted pass by its
 * conntrack entry, so after something was taken away (a rule, a member, a part of an address set, a group of a port)
 * the entries of flows that would not be admitted today are deleted; with nf_conntrack_tcp_loose=0 the rest of such a
 * flow is invalid. Flows that are still admitted are not touched. Each host judges what it also filters: egress of its
 * own ports, ingress to its own ports; flows of the namespace itself, for an operator, are not filtered.
 *
 * The ports and their groups are read from the kernel; rules, members and sets are what this host was told
 * (group-policy.ts). Until all of it was told, a review waits: it is made with the last section that comes.
 */
import { admits, type GroupRule, type OpeningPacket } from '@photoncloud/machines/values/group-rules';
import { readChain, readMap } from '../firewall/firewall-changes.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { ObjectLocks } from '../object-locks.ts';
import { endFlows, flowPattern, flowPatterns, listFlows, type FlowPlace } from './flow-table.ts';
import { chainsIn, directions, groupChain, portMap, type Direction } from './group-chains.ts';
import { toldPolicy, type ToldPolicy } from './group-policy.ts';

const reviews = new ObjectLocks();

/** @param takesAway something is no longer admitted; without it only a review that was owed is made */
export async function reviewFlows(place: FlowPlace, takesAway: boolean): Promise<void> {
  const { namespace } = place;
  const link = place.site.links.of(namespace);
  const policy = toldPolicy(link);
  policy.unreviewed ||= takesAway;
  await reviews.hold(namespace, async () => {
    const { rules, members, addressSets } = policy;
    if (!policy.unreviewed || rules === undefined || members === undefined || addressSets === undefined) return;
    // A VPC of an older release tells nothing of service IPs, and has no rules that name one.
    if (policy.serviceIps === undefined && namesService(rules)) return;
    // Before the table is read: what is taken away from now on is another review.
    policy.unreviewed = false;
    try {
      const judged = { rules, members, addressSets, serviceIps: addressesOf(policy) };
      const flows = await listFlows(place);
      if (flows.length === 0) return;
      const [ports, own] = await Promise.all([readPorts(link, [...rules.keys()]), link.localAddresses()]);
      const itself = new Set(own);
      const revoked = flows.filter((flow) => {
        if (itself.has(flow.source) || itself.has(flow.destination) || betweenHosts.test(flow.source)) return false;
        const [sender, receiver] = [ports.egress.get(flow.source), ports.ingress.get(flow.destination)];
        return (
          (sender !== undefined && !admits(judged, sender, 'egress', flow)) ||
          (receiver !== undefined && !admits(judged, receiver, 'ingress', flow))
        );
      });
      const what = `ending flows of ${namespace} that its security groups no longer admit`;
      await endFlows(place, 'groups', what, deletionsOf(flows, revoked));
    } catch (error) {
      policy.unreviewed = true;
      throw error;
    }
  });
}

const namesService = (rules: ReadonlyMap<string, readonly GroupRule[]>): boolean =>
  [...rules.values()].flat().some(({ remote }) => remote !== null && 'serviceIp' in remote);

const addressesOf = ({ serviceIps }: ToldPolicy): ReadonlyMap<string, string> =>
  new Map([...(serviceIps ?? [])].map(([id, { address }]) => [id, address]));

const betweenHosts = /^169\.254\.64\./;

type Ports = Readonly<Record<Direction, ReadonlyMap<string, readonly string[]>>>;

/** Address of a port of this host -> the groups whose rules apply to it, as the kernel has them. */
async function readPorts(link: NamespaceLink, known: readonly string[]): Promise<Ports> {
  const [ingress, egress] = await Promise.all(
    directions.map(async (direction) => {
      const ids = new Map(known.map((id) => [groupChain(direction, id), id]));
      const elements = ((await readMap(link, portMap(direction))) ?? []).map((one) => one.split(' : goto '));
      const combinations = new Map<string, readonly string[]>();
      for (const name of new Set(elements.map(([, chain = '']) => chain))) {
        const lines = name === '' ? [] : ((await readChain(link, name)) ?? []);
        combinations.set(
          name,
          chainsIn(lines).flatMap((group) => ids.get(group) ?? []),
        );
      }
      return new Map(elements.map(([address = '', chain = '']) => [address, combinations.get(chain) ?? []] as const));
    }),
  );
  return { ingress: ingress ?? new Map(), egress: egress ?? new Map() };
}

/** Each deletion looks through the whole table. */
const exactAtMost = 64;

/**
 * What conntrack is to delete: exactly the revoked flows; when those are many, patterns that fit
 * many of them and no other flow of the table.
 */
export function deletionsOf(flows: readonly OpeningPacket[], revoked: readonly OpeningPacket[]): readonly string[] {
  const narrow = new Set(revoked.map(flowPattern));
  if (narrow.size <= exactAtMost) return [...narrow];
  const gone = new Set(revoked);
  const kept = new Set(flows.filter((flow) => !gone.has(flow)).flatMap((flow) => flowPatterns.map((one) => one(flow))));
  const fits = new Map<string, number>();
  for (const text of revoked.flatMap((flow) => flowPatterns.map((one) => one(flow))))
    if (!kept.has(text)) fits.set(text, (fits.get(text) ?? 0) + 1);
  const best = (flow: OpeningPacket): string =>
    flowPatterns
      .map((one) => one(flow))
      .filter((text) => fits.has(text))
      .reduce((most, text) => ((fits.get(text) ?? 0) > (fits.get(most) ?? 0) ? text : most), flowPattern(flow));
  return [...new Set(revoked.map(best))];
}
