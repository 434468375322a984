/**
 * External addresses in the kernel of a gateway host: two map elements each, an address on `ext0` of the active
 * gateway, and the flows that go with an address which is taken away. What a host was told is kept beside that, because
 * the gateway namespace may come after the addresses.
 * Called by external-addresses-section.ts and gateway-section.ts. Promise: a changed address is one nft transaction;
 * the flows of all others go on.
 */
import { firewallErrors } from '../firewall/firewall-errors.ts';
import { command } from '../kernel-command.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { inBatches } from '../process-lookup.ts';
import { runProgram } from '../program.ts';
import { braced } from '../security-group/group-chains.ts';
import { isActive, readMapping, gatewayLink, type GatewayPlace } from './gateway-namespace.ts';
import { gatewayTable, outsideName, outwardTable, type AddressMap } from './gateway-rules.ts';
import type { ExternalAddresses } from './router-checks.ts';

type Mapping = ReadonlyMap<string, string>;

/** What this process was told of a VPC, whose namespace has this link. */
interface Told {
  /** Undefined until the whole section has come once. */
  externals: Map<string, string> | undefined;
  /** Whether this host is a gateway of the VPC; undefined until it was told. */
  isGateway: boolean | undefined;
  /** Whether it is the active one of two. */
  isPermitted: boolean;
}
const toldOf = new WeakMap<NamespaceLink, Told>();

export function told(link: NamespaceLink): Told {
  const known = toldOf.get(link) ?? { externals: undefined, isGateway: undefined, isPermitted: false };
  toldOf.set(link, known);
  return known;
}

/** Of several external addresses with one target the lowest is the source of what it sends. */
function outsideOf(inside: Mapping): Mapping {
  const sources = new Map<string, string>();
  for (const [external, target] of [...inside].sort(([a], [b]) => (a < b ? -1 : 1)))
    if (!sources.has(target)) sources.set(target, external);
  return sources;
}

function difference(map: AddressMap, actual: Mapping, wanted: Mapping): readonly string[] {
  const gone = [...actual].filter(([key, value]) => wanted.get(key) !== value).map(([key]) => key);
  const added = [...wanted].filter(([key, value]) => actual.get(key) !== value);
  const elements = added.map(([key, value]) => `${key} : ${value}`);
  return [
    ...(gone.length === 0 ? [] : [`delete element ${gatewayTable} ${map} ${braced(gone)}`]),
    ...(elements.length === 0 ? [] : [`add element ${gatewayTable} ${map} ${braced(elements)}`]),
  ];
}

/** Makes the maps what is wanted. @returns external addresses that lead elsewhere by now, or nowhere */
export async function ensureMapping(place: GatewayPlace, wanted: ExternalAddresses): Promise<readonly string[]> {
  const link = gatewayLink(place);
  const [inside, outside] = await Promise.all([readMapping(link, 'inside'), readMapping(link, 'outside')]);
  const statements = [...difference('inside', inside, wanted), ...difference('outside', outside, outsideOf(wanted))];
  await link.nft(`setting the external addresses of ${place.vpc}`, statements, firewallErrors);
  const sources = outsideOf(wanted);
  return [
    ...new Set([
      ...[...inside].filter(([external, target]) => wanted.get(external) !== target).map(([external]) => external),
      ...[...outside].filter(([target, external]) => sources.get(target) !== external).map(([, external]) => external),
    ]),
  ];
}

/** The entries of the maps that single addresses change, as they are and as they will be. */
function touched(before: Mapping, put: Mapping, removed: readonly string[]) {
  const after = new Map(before);
  for (const external of removed) after.delete(external);
  for (const [external, target] of put) after.set(external, target);
  const externals = [...new Set([...removed, ...put.keys()])];
  const targets = new Set(externals.flatMap((one) => [before.get(one), after.get(one)]));
  const only = (all: Mapping, keys: Iterable<string | undefined>): Mapping => {
    const kept = new Map<string, string>();
    for (const key of keys) {
      const value = key === undefined ? undefined : all.get(key);
      if (key !== undefined && value !== undefined) kept.set(key, value);
    }
    return kept;
  };
  const of = (all: Mapping) => {
    const sharing = new Map([...all].filter(([, target]) => targets.has(target)));
    return { inside: only(all, externals), outside: only(outsideOf(sharing), targets) };
  };
  return { was: of(before), will: of(after) };
}

/** Changes single addresses in the maps. @returns as `ensureMapping` */
export async function changeMapping(
  place: GatewayPlace,
  before: Mapping,
  put: ExternalAddresses,
  removed: readonly string[],
): Promise<readonly string[]> {
  const { was, will } = touched(before, put, removed);
  await gatewayLink(place).nft(
    `changing external addresses of ${place.vpc}`,
    [...difference('inside', was.inside, will.inside), ...difference('outside', was.outside, will.outside)],
    firewallErrors,
  );
  return [
    ...new Set([
      ...[...was.inside].filter(([external, target]) => will.inside.get(external) !== target).map(([one]) => one),
      ...[...was.outside].filter(([target, external]) => will.outside.get(target) !== external).map(([, one]) => one),
    ]),
  ];
}

/** On the active gateway: the addresses are answered for, the others not any more. */
export async function answerFor(place: GatewayPlace, added: readonly string[], gone: readonly string[]): Promise<void> {
  const link = gatewayLink(place);
  if (!(await isActive(link))) return;
  await link.ip(`changing what ${place.vpc} answers for`, [
    ...gone.map((one) => command`addr delete ${one}/32 dev ${outsideName}`),
    ...added.map((one) => command`addr replace ${one}/32 dev ${outsideName}`),
  ]);
  if (added.length === 0) return;
  const cidr = (await link.routesIn(outwardTable, outsideName)).find(({ dst }) => dst.includes('/'))?.dst;
  // The first address of a network is nobody's.
  if (cidr !== undefined) for (const one of added) announce(place.namespace, one, cidr.split('/')[0] ?? '');
}

/**
 * Asks for an address that nobody has, from the one that is to be known: by that question others learn its MAC. It is
 * not waited for, and nothing depends on its answer.
 */
function announce(namespace: string, address: string, spare: string): void {
  const args = [`--net=/run/netns/${namespace}`, 'ping', '-n', '-q', '-c', '1', '-w', '1', '-I', address, spare];
  const said = runProgram({ program: 'nsenter', args, what: `announcing ${address}`, acceptedCodes: [1, 2] });
  // Without it, neighbours outside find the address by their own next question.
  said.catch(() => {});
}

/** Ends flows that were translated to or from these addresses; exit code 1 means that there were none. */
export async function endTranslated(namespace: string, externals: readonly string[]): Promise<void> {
  const sides = externals.flatMap((one) => [
    ['--orig-dst', one],
    ['--reply-dst', one],
  ]);
  await inBatches(sides, (side) =>
    runProgram({
      program: 'nsenter',
      args: [`--net=/run/netns/${namespace}`, 'conntrack', '-D', '-f', 'ipv4', ...side],
      what: `ending the flows of ${side[1]}`,
      acceptedCodes: [1],
    }),
  );
}
