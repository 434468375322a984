/**
 * Section `external-addresses`: addresses of an external network, each translated to one address of the VPC and back.
 * Key: the external address; element: `{inside}`. Only gateway hosts have something of it in their kernel; a host that
 * becomes one later remembers what it was told.
 */
import type { Elements } from '@photoncloud/machines/values/wiring';
import { readNamespace } from '../overlay/overlay-namespace.ts';
import { linkInto, type SegmentPlace, type SegmentSection } from '../segment/segment-section.ts';
import { answerFor, changeMapping, endTranslated, ensureMapping, told } from './external-mapping.ts';
import { addressesOn, gatewayLink, isActive, readMapping, type GatewayPlace } from './gateway-namespace.ts';
import { externalAddressesIn } from './router-checks.ts';

/** Null on a host that is no gateway of the VPC now. */
async function gatewayHere(place: SegmentPlace): Promise<GatewayPlace | null> {
  const { site, namespace, segment } = place;
  const link = await linkInto(place);
  const beside = site.names.besideOf(namespace);
  if ((await readNamespace(beside)) !== 'present') return null;
  return { site, vpc: segment.vpc, owner: segment.owner, link, namespace: beside };
}

const gone = (removed: Elements, put: Elements): readonly string[] =>
  Object.keys(removed).filter((external) => put[external] === undefined);

export const externalAddressesSection: SegmentSection = {
  name: 'external-addresses',
  after: ['overlay', 'gateway'],
  check: (elements) => void externalAddressesIn(elements),

  ensure: async (place, elements) => {
    const wanted = externalAddressesIn(elements);
    told(await linkInto(place)).externals = new Map(wanted);
    const gateway = await gatewayHere(place);
    if (gateway === null) return;
    const link = gatewayLink(gateway);
    const had = await readMapping(link, 'inside');
    const moved = await ensureMapping(gateway, wanted);
    const answered = new Set(await addressesOn(link));
    const away = [...had.keys()].filter((one) => !wanted.has(one) && answered.has(one));
    const missing = [...wanted.keys()].filter((one) => !answered.has(one));
    await answerFor(gateway, missing, away);
    await endTranslated(gateway.namespace, moved);
  },

  change: async (place, { put, removed }) => {
    const added = externalAddressesIn(put);
    const known = told(await linkInto(place));
    const gateway = await gatewayHere(place);
    if (gateway !== null) {
      const before = known.externals ?? (await readMapping(gatewayLink(gateway), 'inside'));
      const away = gone(removed, put).filter((one) => before.has(one));
      const moved = await changeMapping(gateway, before, added, away);
      await answerFor(gateway, [...added.keys()], away);
      await endTranslated(gateway.namespace, moved);
      known.externals ??= new Map(before);
    }
    for (const one of gone(removed, put)) known.externals?.delete(one);
    for (const [external, inside] of added) known.externals?.set(external, inside);
  },

  read: async (place, wanted, unwanted) => {
    const gateway = await gatewayHere(place);
    if (gateway === null) return { facts: {}, drift: [] };
    return { facts: {}, drift: await mappingDrift(gateway, externalAddressesIn(wanted), gone(unwanted, wanted)) };
  },

  // The gateway namespace takes them along.
  remove: async () => {},
};

/** Each leads where it should and is answered for on the active gateway alone; those unwanted lead nowhere. */
async function mappingDrift(
  gateway: GatewayPlace,
  wanted: ReadonlyMap<string, string>,
  unwanted: readonly string[],
): Promise<readonly string[]> {
  const link = gatewayLink(gateway);
  const [inside, outside, answers] = await Promise.all([
    readMapping(link, 'inside'),
    readMapping(link, 'outside'),
    isActive(link),
  ]);
  const answered = answers ? new Set(await addressesOn(link)) : null;
  return [
    ...[...wanted].flatMap(([external, target]) => [
      ...(inside.get(external) === target ? [] : [`${external} does not lead to ${target}`]),
      // Of several addresses of one target, one is its source.
      ...(inside.get(outside.get(target) ?? '') === target ? [] : [`${target} does not send as ${external}`]),
      ...(answered?.has(external) === false ? [`does not answer for ${external}`] : []),
    ]),
    ...unwanted.flatMap((external) => [
      ...(inside.has(external) ? [`${external} still leads inside`] : []),
      ...(answered?.has(external) === true ? [`still answers for ${external}`] : []),
    ]),
  ];
}
