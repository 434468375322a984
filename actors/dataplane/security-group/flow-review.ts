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
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { admits, type OpeningPacket } from '@photoncloud/machines/values/group-rules';
import type { DataplaneSite } from '../dataplane-site.ts';
import { readChain, readMap } from '../firewall/firewall-changes.ts';
import { fileError } from '../kernel-errors.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { ObjectLocks } from '../object-locks.ts';
import { runProgram } from '../program.ts';
import { chainsIn, directions, groupChain, portMap, type Direction } from './group-chains.ts';
import { toldPolicy } from './group-policy.ts';

/** A table of a quarter of a million flows, the most that a kernel keeps by default, has about half of it. */
const outputCapBytes = 128 << 20;

const reviews = new ObjectLocks();

interface FlowPlace {
  readonly site: DataplaneSite;
  readonly namespace: string;
}

/** @param takesAway something is no longer admitted; without it only a review that was owed is made */
export async function reviewFlows({ site, namespace }: FlowPlace, takesAway: boolean): Promise<void> {
  const link = site.links.of(namespace);
  const policy = toldPolicy(link);
  policy.unreviewed ||= takesAway;
  await reviews.hold(namespace, async () => {
    const { rules, members, addressSets } = policy;
    if (!policy.unreviewed || rules === undefined || members === undefined || addressSets === undefined) return;
    // Before the table is read: what is taken away from now on is another review.
    policy.unreviewed = false;
    try {
      const judged = { rules, members, addressSets };
      const [ports, own, flows] = await Promise.all([
        readPorts(link, [...rules.keys()]),
        link.localAddresses(),
        listFlows(namespace),
      ]);
      const itself = new Set(own);
      const revoked = flows.filter((flow) => {
        if (itself.has(flow.source) || itself.has(flow.destination) || betweenHosts.test(flow.source)) return false;
        const [sender, receiver] = [ports.egress.get(flow.source), ports.ingress.get(flow.destination)];
        return (
          (sender !== undefined && !admits(judged, sender, 'egress', flow)) ||
          (receiver !== undefined && !admits(judged, receiver, 'ingress', flow))
        );
      });
      await endFlows(site, namespace, deletionsOf(flows, revoked));
    } catch (error) {
      policy.unreviewed = true;
      throw error;
    }
  });
}

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

/** Of `conntrack -L`: protocol number first, then the opening packet's addresses and ports, or type and code. */
function flowOf(line: string): OpeningPacket | undefined {
  const head = /^\S+\s+(\d+) .*?src=(\S+) dst=(\S+)(?: sport=\d+ dport=(\d+))?(?: type=(\d+) code=(\d+))?/.exec(line);
  if (head === null) return undefined;
  const [, protocol, source = '', destination = '', port, type, code] = head;
  return {
    source,
    destination,
    protocol: Number(protocol),
    ...(port === undefined ? {} : { destinationPort: Number(port) }),
    ...(type === undefined ? {} : { icmp: { type: Number(type), code: Number(code) } }),
  };
}

async function listFlows(namespace: string): Promise<readonly OpeningPacket[]> {
  const { stdout } = await runProgram({
    program: 'nsenter',
    args: [`--net=/run/netns/${namespace}`, 'conntrack', '-L', '-f', 'ipv4'],
    what: `reading the flows of ${namespace}`,
    outputCapBytes,
  });
  return stdout.split('\n').flatMap((line) => flowOf(line) ?? []);
}

type Pattern = (flow: OpeningPacket) => string;

const ends: Readonly<Record<'from' | 'to' | 'service', Pattern>> = {
  from: ({ source }) => ` -s ${source}`,
  to: ({ destination }) => ` -d ${destination}`,
  service: ({ protocol, destinationPort, icmp }) =>
    ` -p ${protocol}${destinationPort === undefined ? '' : ` --dport ${destinationPort}`}` +
    (icmp === undefined ? '' : ` --icmp-type ${icmp.type} --icmp-code ${icmp.code}`),
};
/** Rules judge all of these alike: only the source port differs. */
const exact: Pattern = (flow) => ends.from(flow) + ends.to(flow) + ends.service(flow);
const patterns: readonly Pattern[] = [
  ends.from,
  ends.to,
  (flow) => ends.to(flow) + ends.service(flow),
  (flow) => ends.from(flow) + ends.service(flow),
  (flow) => ends.from(flow) + ends.to(flow),
  exact,
];
/** Each deletion looks through the whole table. */
const exactAtMost = 64;

/**
 * What conntrack is to delete: exactly the revoked flows; when those are many, patterns that fit
 * many of them and no other flow of the table.
 */
export function deletionsOf(flows: readonly OpeningPacket[], revoked: readonly OpeningPacket[]): readonly string[] {
  const narrow = new Set(revoked.map(exact));
  if (narrow.size <= exactAtMost) return [...narrow];
  const gone = new Set(revoked);
  const kept = new Set(flows.filter((flow) => !gone.has(flow)).flatMap((flow) => patterns.map((one) => one(flow))));
  const fits = new Map<string, number>();
  for (const text of revoked.flatMap((flow) => patterns.map((one) => one(flow))))
    if (!kept.has(text)) fits.set(text, (fits.get(text) ?? 0) + 1);
  const best = (flow: OpeningPacket): string =>
    patterns
      .map((one) => one(flow))
      .filter((text) => fits.has(text))
      .reduce((most, text) => ((fits.get(text) ?? 0) > (fits.get(most) ?? 0) ? text : most), exact(flow));
  return [...new Set(revoked.map(best))];
}

const flowFile = (site: DataplaneSite, namespace: string): string => path.join(site.folders.run, `${namespace}.flows`);

/** What a worker that died in a review has left. */
export const forgetReview = ({ site, namespace }: FlowPlace): Promise<void> =>
  rm(flowFile(site, namespace), { force: true });

/** The list is a file: conntrack opens its standard input by name, which a socket does not allow. */
async function endFlows(site: DataplaneSite, namespace: string, deletions: readonly string[]): Promise<void> {
  if (deletions.length === 0) return;
  const file = flowFile(site, namespace);
  const what = `ending flows of ${namespace} that its security groups no longer admit`;
  try {
    await mkdir(site.folders.run, { recursive: true });
    await writeFile(file, deletions.map((one) => `-D -f ipv4${one}\n`).join(''));
    await runProgram({
      program: 'nsenter',
      args: [`--net=/run/netns/${namespace}`, 'conntrack', '-R', file],
      what,
      timeoutMs: 60_000,
      outputCapBytes,
      // 1: there was none any more.
      acceptedCodes: [1],
    });
  } catch (error) {
    throw fileError(what, error);
  } finally {
    await rm(file, { force: true });
  }
}
