/**
 * The kind `network`: subnets and their addresses. An allocation loads one block of 256 addresses, never the whole
 * table.
 */
import { blockOf, parseAddress, reservedHead } from '@photoncloud/machines/values/addresses';
import { expandedPairs, type DeclaredPairs } from '@photoncloud/machines/values/address-pairs';
import { inSubnets } from '@photoncloud/machines/network/network-recovery';
import type { FoundPort } from '@photoncloud/machines/values/inventory-schema';
import { nextBlock } from '@photoncloud/machines/network/network-addresses';
import { networkMachine } from '@photoncloud/machines/network/network-machine';
import { changesPools, type NetworkContext } from '@photoncloud/machines/network/network-messages';
import { networkKind, networkSpec, type NetworkDeclaration } from '@photoncloud/machines/network/network-protocol';
import type { RowKey } from '@photoncloud/runtime/contract/actor-definition';
import type { ActorEvent } from '@photoncloud/runtime/contract/envelope';
import { defineActor } from '../kind/kind-definition.ts';

const row = (collection: string, key: string): RowKey => ({ collection, key });

/** The rows of an address: its block and its owner. */
function ofAddress(text: unknown): RowKey[] {
  const at = typeof text === 'string' ? parseAddress(text) : undefined;
  return at === undefined ? [] : [row('block', blockOf(at)), row('owner', String(text))];
}

const nobody = { address: '', mac: '' };
const pairsOf = (event: ActorEvent): DeclaredPairs => (event['pairs'] ?? []) as DeclaredPairs;

/** The rows of what a port has, or is to have, beside its address. */
function ofPairs(event: ActorEvent): RowKey[] {
  const { dnsName } = event;
  const wanted = expandedPairs(pairsOf(event), nobody).map(({ address }) => address);
  const addresses = [...new Set([...wanted, ...((event['had'] ?? []) as readonly string[])])];
  return [
    ...addresses.flatMap(ofAddress),
    ...pairsOf(event).flatMap(({ mac }) => (mac === null ? [] : [row('mac', mac)])),
    ...(typeof dnsName === 'string' ? [row('name', dnsName)] : []),
  ];
}

/** The declaration that this event may put into force, or null. */
const declaredBy = (event: ActorEvent, { proposed }: NetworkContext): NetworkDeclaration | null => {
  if (event.type === 'network.claimed') return proposed;
  return event.type === 'network.update' || event.type === 'network.apply' ? (event['spec'] as never) : null;
};

function needs(event: ActorEvent, context: NetworkContext): RowKey[] {
  const { type, port, address, mac } = event;
  const { subnets } = context;
  if (changesPools(subnets, declaredBy(event, context))) return [row('block', '*')];
  if (type === 'network.delete') return [row('port', '*')];
  if (type === 'network.addresses') return [row('owner', '*')];
  if (type === 'network.verify')
    return ['owner', 'port', 'mac', 'block', 'beside', 'name'].map((collection) => row(collection, '*'));
  if (type === 'network.withdrawn') return [row('block', '*')];
  if (type === 'address.release')
    return [row('port', String(port)), row('beside', String(port)), ...ofAddress(address), ...ofPairs(event)];
  if (type === 'address.revise') return [row('port', String(port)), row('beside', String(port)), ...ofPairs(event)];
  if (type === 'era.cleared') {
    const taken = (event['taken'] as readonly FoundPort[]).filter(inSubnets({ subnets }));
    return taken.flatMap((found) => [...ofAddress(found.address), row('port', found.port)]);
  }
  if (type !== 'address.allocate') return [];
  const next = typeof address === 'string' ? undefined : nextBlock(subnets);
  return [
    row('port', String(port)),
    ...(next === undefined ? ofAddress(address) : [row('block', next.block)]),
    ...(typeof mac === 'string' ? [row('mac', mac)] : []),
    ...ofPairs(event),
    row('beside', String(port)),
  ];
}

/** What was stored before a field existed gets its default. */
function upgraded(context: NetworkContext): NetworkContext {
  const whole = <Spec>(spec: Spec): Spec => (spec === null ? spec : (networkSpec.parse(spec) as Spec));
  const fresh = { reservedHead, pools: null, outside: 0 };
  return {
    ...context,
    spec: whole(context.spec),
    proposed: whole(context.proposed),
    subnets: context.subnets.map((subnet) => ({ ...fresh, ...subnet })),
  };
}

export const networkDefinition = defineActor(networkKind, {
  chartVersion: 2,
  upgrades: { 1: ({ state, context }) => ({ state, context: upgraded(context as NetworkContext) }) },
  machine: networkMachine,
  needs,
  status: ({ subnets, ports, portQuota, disputed }: NetworkContext) => ({ subnets, ports, portQuota, disputed }),
  ignored: [
    'era.cleared',
    'network.claimed',
    'network.refused',
    'network.realized',
    'network.delayed',
    'network.withdrawn',
    'quota.granted',
    'address.release',
  ],
});
