/**
 * The fences of a VPC (overlay/fences-section.ts) in the namespaces of the VPCs that it is peered with. A guest that
 * was given up crosses to a peered VPC on its own host, and goes from there over the overlay of that VPC: with its own
 * address, in frames of its host's vx0 there, whose MAC is the same in all VPCs. So on every other host the namespace
 * of the peered VPC drops the same senders. What the VPC drops itself does not help: a frame of the other overlay never
 * passes its namespace. The peering has both namespaces on each host that has one of them.
 *
 * Each link has a table of its own in the namespace that it leads to, `inet fence_<link>`, with a copy of the set. Both
 * segments keep it: that of the fences when these change, and either when the link is joined. Promise: no copy outlasts
 * the fence, also when a worker ends in between.
 */
import { z } from 'zod';
import type { DataplaneSite } from '../dataplane-site.ts';
import { readElements } from '../firewall/firewall-changes.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { readNamespace } from '../overlay/overlay-namespace.ts';
import { fenceTable, ownFence, readSenders, settleSenders } from '../overlay/fence-table.ts';
import { runProgram } from '../program.ts';
import { readPeerEnds } from './peering-link.ts';

const idsSchema = z.array(z.object({ nsid: z.int(), name: z.string().optional() }));
const tableOver = (name: string): string => `fence_${name}`;

/** A namespace that a link leads to. */
interface Peer {
  readonly name: string;
  readonly link: NamespaceLink;
}

/** Of the links that stand, those whose other end is in a namespace of ours. */
async function peersOf(site: DataplaneSite, link: NamespaceLink): Promise<readonly Peer[]> {
  const ends = [...(await readPeerEnds(link)).values()].filter(({ ifname }) => site.names.isPeerLink(ifname));
  if (ends.length === 0) return [];
  const { stdout } = await runProgram({
    program: 'ip',
    args: ['-n', String(link.name), '-j', 'netns', 'list-id'],
    what: `reading where the links of ${link.name} lead`,
  });
  const names = new Map(idsSchema.parse(JSON.parse(stdout)).map(({ nsid, name }) => [nsid, name]));
  const found: Peer[] = [];
  for (const { ifname, link_netnsid: id } of ends) {
    const far = id === undefined ? undefined : names.get(id);
    if (far !== undefined && site.names.isNamespace(far) && (await readNamespace(far)) === 'present')
      found.push({ name: ifname, link: site.links.of(far) });
  }
  return found;
}

/** Fences of a VPC change one at a time, wherever their copies are. */
export const inFenceTurn = <Result>(site: DataplaneSite, link: NamespaceLink, work: () => Promise<Result>) =>
  site.locks.hold(`fences ${link.name}`, work);

/** Has all peered VPCs of this host drop exactly these. Called in a fence turn. */
export async function spreadFences(
  site: DataplaneSite,
  link: NamespaceLink,
  senders: readonly string[],
): Promise<void> {
  for (const peer of await peersOf(site, link)) await settleSenders(peer.link, tableOver(peer.name), senders);
}

/** A link was joined: each namespace drops what the other one does. */
export async function exchangeFences(
  site: DataplaneSite,
  link: NamespaceLink,
  name: string,
  far: string,
): Promise<void> {
  if ((await readNamespace(far)) !== 'present') return;
  const other = site.links.of(far);
  for (const [from, to] of [
    [link, other],
    [other, link],
  ] as const)
    await inFenceTurn(site, from, async () =>
      settleSenders(to, tableOver(name), (await readSenders(from, ownFence)) ?? []),
    );
}

/** The link is gone. */
export const dropFences = (link: NamespaceLink, name: string): Promise<void> =>
  settleSenders(link, tableOver(name), []);

/** What differs in peered VPCs, in words. @param unwanted of which none may be dropped */
export async function spreadDrift(
  site: DataplaneSite,
  link: NamespaceLink,
  wanted: readonly string[],
  unwanted: readonly string[],
): Promise<readonly string[]> {
  if (wanted.length === 0 && unwanted.length === 0) return [];
  const drift = (await peersOf(site, link)).map(async (peer) => {
    const actual = (await readElements(peer.link, `set ${fenceTable(tableOver(peer.name)).set}`)) ?? [];
    return [
      ...wanted.filter((one) => !actual.includes(one)).map((one) => `${one} is not dropped over ${peer.name}`),
      ...unwanted.filter((one) => actual.includes(one)).map((one) => `${one} is still dropped over ${peer.name}`),
    ];
  });
  return (await Promise.all(drift)).flat();
}
