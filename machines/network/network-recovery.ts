/**
 * Recovery of a network after a store rollback: before it allocates an address in a new era, it requests from the
 * cluster the addresses that the inventories have found, and marks the unknown ones as allocated. Pure functions.
 * Upholds: one port per address, also after acknowledged allocations were lost (docs/decisions/0007).
 */
import { assertEvent } from 'xstate';
import { eraAsk } from '../cluster/cluster-protocol.ts';
import { addressOf, macOf } from '../values/addresses.ts';
import { clusterId } from '../values/identifiers.ts';
import { eraOf } from '../values/requests.ts';
import { putRow, row, send, type Acted, type Asked } from '../values/telling.ts';
import * as ipam from './network-addresses.ts';
import type { Block, Held, Owner } from './network-addresses.ts';
import { refused, vpcOf, type At, type NetworkContext } from './network-messages.ts';

export const isNewEra = ({ context, event }: At): boolean => eraOf(event) > context.era;
export const isPresent = ({ event }: At): boolean => event.type === 'era.cleared' && event.era === eraOf(event);

export function askEra({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'address.allocate');
  const message = `the store was rolled back; ${context.id} allocates addresses once every host has sent its inventory`;
  return [
    send(clusterId, eraAsk({ network: context.id, vpc: vpcOf(context) })),
    refused(event, { code: 'recovering', message, retryable: true }, 'spec.network'),
  ];
}

/** Allocates found addresses to the ports that use them; an address that is already allocated keeps its port. */
export function takeFound({ context, event }: At): Acted<NetworkContext> {
  assertEvent(event, 'era.cleared');
  const blocks = new Map<string, Block>();
  const loaded = (key: string): Block | undefined => blocks.get(key) ?? row<Block>(event, 'block', key);
  let { subnets, ports } = context;
  const asks: Asked[] = [];
  const disputed: string[] = [];
  for (const { port, address, mac } of event.taken.filter(inSubnets(context))) {
    const owner = row<Owner>(event, 'owner', address);
    if (owner !== undefined && owner.port !== port)
      disputed.push(`${address}: ${owner.port} here, ${port} on its host`);
    const taken = ipam.hold(subnets, address, event.meta.at, loaded);
    if (taken === undefined || owner !== undefined) continue;
    subnets = subnets.map((each) => (each.name === taken.subnet.name ? taken.subnet : each));
    blocks.set(taken.block.key, taken.block.value);
    asks.push(putRow('owner', address, { port, mac } satisfies Owner));
    if (row<Held>(event, 'port', port) !== undefined) continue;
    ports += 1;
    asks.push(putRow('port', port, { address, mac } satisfies Held));
    if (mac !== macOf(addressOf(address))) asks.push(putRow('mac', mac, port));
  }
  for (const [key, block] of blocks) asks.push(putRow('block', key, block));
  return { changes: { era: event.era, subnets, ports, disputed }, asks };
}

export const inSubnets =
  ({ subnets }: Pick<NetworkContext, 'subnets'>) =>
  ({ address }: { readonly address: string }): boolean =>
    ipam.subnetWith(subnets, addressOf(address)) !== undefined;
