/**
 * Section `gateway`: the way of a VPC to an external network. Its only key is `default`; without the element nothing
 * leaves. On a gateway host it makes the gateway namespace (gateway-namespace.ts), on every host the default route: on
 * the active gateway to its own, elsewhere to that host.
 * Another host becomes the active one by a changed element alone: it takes the addresses, and the one before lets them
 * go, each when it hears of it. A host that does not hear of it is silenced by its permit (gateway-permit.ts).
 */
import type { GatewayElement } from '@photoncloud/machines/values/router-elements';
import { changeFirewall, chainsOf, readSet } from '../firewall/firewall-changes.ts';
import { command } from '../kernel-command.ts';
import { overlayAddress, vxlanName } from '../kernel-names.ts';
import type { KernelRoute, NamespaceLink } from '../namespace-link.ts';
import { overlayErrors } from '../overlay/overlay-errors.ts';
import { readNamespace } from '../overlay/overlay-namespace.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import {
  linkInto,
  settledOf,
  type SectionPlace,
  type SegmentPlace,
  type SegmentSection,
} from '../segment/segment-section.ts';
import { endTranslated, ensureMapping, told } from './external-mapping.ts';
import { hasPermitTable } from './gateway-permit.ts';
import * as gateways from './gateway-namespace.ts';
import type { GatewayPlace, WantedGateway } from './gateway-namespace.ts';
import { gatewayTable, insideAddress, vpcSide } from './gateway-rules.ts';
import { gatewayIn } from './router-checks.ts';

/** The default route has a number of its own, and gives way to every other one. */
const protocol = 81;
const metric = 4_294_901_760;
const ipAndTcpBytes = 40;
const permitSeenForMs = 5_000;
const outsideSeenForMs = 1_000;

const gatewayPlace = ({ site, namespace, segment }: SegmentPlace, link: NamespaceLink): GatewayPlace => ({
  site,
  vpc: segment.vpc,
  owner: segment.owner,
  link,
  namespace: site.names.besideOf(namespace),
});

/** Undefined on a host that is no gateway. */
async function wantedHere(
  { options: { host } }: DataplaneSite,
  link: NamespaceLink,
  element: GatewayElement | undefined,
): Promise<WantedGateway | undefined> {
  const self = element?.gateways.find(({ name }) => name === host);
  if (element === undefined || self === undefined) return undefined;
  const overlayMtu = (await link.link(vxlanName))?.mtu ?? element.mtu;
  const segmentBytes = Math.min(overlayMtu, element.mtu) - ipAndTcpBytes;
  return { element, rules: { snat: element.snat, segmentBytes }, isActive: element.active === self.index };
}

type Way = { readonly gateway: string; readonly dev: string };

/** Where the default route leads; null for nowhere. */
function wayOf(element: GatewayElement | undefined, here: WantedGateway | undefined): Way | null {
  if (element === undefined || element.active === null) return null;
  return here?.isActive === true
    ? { gateway: insideAddress, dev: vpcSide }
    : { gateway: overlayAddress(element.active), dev: vxlanName };
}

const leads = (route: KernelRoute | undefined, way: Way | null): boolean =>
  way === null ? route === undefined : route?.gateway === way.gateway && route.dev === way.dev;

async function lead(link: NamespaceLink, vpc: string, way: Way | null): Promise<void> {
  const [route] = await link.routesBy(protocol);
  if (leads(route, way)) return;
  await link.ip(
    `leading ${vpc} outside`,
    [
      way === null
        ? command`route delete default metric ${metric} proto ${protocol}`
        : command`route replace default via ${way.gateway} dev ${way.dev} onlink metric ${metric} proto ${protocol}`,
    ],
    overlayErrors,
  );
}

const transit = `"${vpcSide}"`;

/** What comes and goes by the pair is filtered on the hosts of the ports, as what goes over the overlay. */
async function setTransit(link: NamespaceLink, isWanted: boolean): Promise<void> {
  const has = (await readSet(link, 'transit'))?.includes(transit) === true;
  if (has === isWanted) return;
  await changeFirewall(link, `letting ${vpcSide} through`, [
    `${isWanted ? 'add' : 'delete'} element inet sg transit { ${transit} }`,
  ]);
}

/** The address that others shared until now. */
async function sharedAddress(link: NamespaceLink): Promise<string | undefined> {
  const lines = chainsOf((await link.nftRead(`list chain ${gatewayTable} leaving`)) ?? '').get('leaving') ?? [];
  return lines.map((line) => / snat to ([0-9.]+)$/.exec(line)?.[1]).find((one) => one !== undefined);
}

async function settle(place: SegmentPlace, element: GatewayElement | undefined): Promise<void> {
  const { site, segment } = place;
  const link = await linkInto(place);
  const here = await wantedHere(site, link, element);
  const at = gatewayPlace(place, link);
  const known = told(link);
  known.isGateway = here !== undefined;
  known.isPermitted = here?.isActive === true && here.element.gateways.length > 1;
  const way = wayOf(element, here);
  // Without an uplink this host cannot stand by, and its guests leave by the other one all the same.
  if (here?.isActive !== true) await lead(link, segment.vpc, way);
  if (here === undefined) {
    if ((await readNamespace(at.namespace)) !== 'absent') await gateways.removeGatewayNamespace(site, at.namespace);
    return setTransit(link, false);
  }
  const before =
    (await readNamespace(at.namespace)) === 'present' ? await sharedAddress(gateways.gatewayLink(at)) : null;
  const isNew = await gateways.ensureGatewayNamespace(at, here);
  // Addresses that came before it. Those that this process was not told of come with their section.
  if (isNew && known.externals !== undefined) await ensureMapping(at, known.externals);
  await setTransit(link, true);
  // The old way ends after the new one is known, so that as little as possible is lost between them.
  if (here.isActive) {
    await gateways.activate(at, here);
    await lead(link, segment.vpc, way);
  } else await gateways.deactivate(at);
  if (before !== null && before !== undefined && before !== element?.snat) await endTranslated(at.namespace, [before]);
}

async function drift(place: SegmentPlace, element: GatewayElement | undefined): Promise<readonly string[]> {
  const { site } = place;
  const link = await linkInto(place);
  const here = await wantedHere(site, link, element);
  const at = gatewayPlace(place, link);
  const [routes, through] = await Promise.all([link.routesBy(protocol), readSet(link, 'transit')]);
  const isThrough = through?.includes(transit) === true;
  const isLed = leads(routes[0], wayOf(element, here)) && routes.length <= 1;
  const isPresent = (await readNamespace(at.namespace)) === 'present';
  return [
    ...(isLed ? [] : ['the default route is not as wanted']),
    ...(isThrough === (here !== undefined) ? [] : [`the firewall knows ${vpcSide} otherwise`]),
    ...(here === undefined && isPresent ? ['still a gateway namespace'] : []),
    ...(here === undefined ? [] : await gateways.gatewayDrift(at, here)),
  ];
}

export const gatewaySection: SegmentSection = {
  name: 'gateway',
  after: ['overlay', 'routes'],
  check: (elements) => void gatewayIn(elements),

  startsEmpty: async (place, link) => {
    const known = told(link);
    known.isGateway = false;
    known.isPermitted = false;
    await removeBeside(place);
  },

  ensure: (place, elements) => settle(place, gatewayIn(elements)),

  change: async (place, { put, removed }) => {
    const [element, gone] = [gatewayIn(put), gatewayIn(removed)];
    if (element !== undefined || gone !== undefined) await settle(place, element);
  },

  // One element is all of the section.
  read: async (place, wanted, unwanted) => {
    const element = gatewayIn(wanted);
    const isAsked = element !== undefined || Object.keys(unwanted).length > 0 || Object.keys(wanted).length === 0;
    return { facts: {}, drift: isAsked ? await drift(place, element) : [] };
  },

  missing: async ({ site, namespace, segment }) => {
    const link = site.links.of(namespace);
    const known = told(link);
    const beside = site.names.besideOf(namespace);
    const isThere = (await readNamespace(beside)) === 'present';
    // After its start a worker takes for wanted what is there.
    known.isGateway ??= isThere;
    if (known.isGateway && !isThere)
      return { reason: 'gateway_gone', detail: `Gateway namespace ${beside} of ${segment.vpc} is gone.` };
    if (known.isGateway && !(await outsideStands(link, site.links.of(beside))))
      return {
        reason: 'outside_gone',
        detail: `The gateway of ${segment.vpc} has no interface on the uplink any more.`,
      };
    if (!known.isGateway || !known.isPermitted || (await permitStands(site, link))) return null;
    return { reason: 'permit_gone', detail: `The permit of the gateway of ${segment.vpc} is gone from the uplink.` };
  },

  remove: removeBeside,
};

async function removeBeside({ site, namespace }: SectionPlace): Promise<void> {
  const beside = site.names.besideOf(namespace);
  if ((await readNamespace(beside)) !== 'absent') await gateways.removeGatewayNamespace(site, beside);
}

/** The kernel takes `ext0` along with the uplink. @param link of the VPC @param inner of its gateway */
async function outsideStands(link: NamespaceLink, inner: NamespaceLink): Promise<boolean> {
  const settled = settledOf(link);
  if (performance.now() - settled.outsideSeenAtMs < outsideSeenForMs) return true;
  if (!(await gateways.hasOutside(inner))) return false;
  settled.outsideSeenAtMs = performance.now();
  return true;
}

/** Asks the kernel only now and then: the watch looks twice a second. */
async function permitStands(site: DataplaneSite, link: NamespaceLink): Promise<boolean> {
  const settled = settledOf(link);
  if (performance.now() - settled.permitSeenAtMs < permitSeenForMs) return true;
  if (!(await hasPermitTable(site))) return false;
  settled.permitSeenAtMs = performance.now();
  return true;
}
