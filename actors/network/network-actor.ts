/**
 * The kind `network`: subnets and their addresses. An allocation loads one block of 256 addresses, never the whole
 * table.
 */
import { blockOf, parseAddress } from '@photoncloud/machines/values/addresses';
import { inSubnets } from '@photoncloud/machines/network/network-recovery';
import type { FoundPort } from '@photoncloud/machines/values/wiring';
import { nextBlock } from '@photoncloud/machines/network/network-addresses';
import { networkMachine } from '@photoncloud/machines/network/network-machine';
import type { NetworkContext } from '@photoncloud/machines/network/network-messages';
import { networkKind } from '@photoncloud/machines/network/network-protocol';
import type { RowKey } from '@photoncloud/runtime/contract/actor-definition';
import type { ActorEvent } from '@photoncloud/runtime/contract/envelope';
import { defineActor } from '../kind/kind-definition.ts';

const row = (collection: string, key: string): RowKey => ({ collection, key });

/** The rows of an address: its block and its owner. */
function ofAddress(text: unknown): RowKey[] {
  const at = typeof text === 'string' ? parseAddress(text) : undefined;
  return at === undefined ? [] : [row('block', blockOf(at)), row('owner', String(text))];
}

function needs(event: ActorEvent, { subnets }: NetworkContext): RowKey[] {
  const { type, port, address, mac } = event;
  if (type === 'network.delete') return [row('port', '*')];
  if (type === 'network.addresses') return [row('owner', '*')];
  if (type === 'network.verify') return ['owner', 'port', 'mac', 'block'].map((collection) => row(collection, '*'));
  if (type === 'network.withdrawn') return [row('block', '*')];
  if (type === 'address.release') return [row('port', String(port)), ...ofAddress(address)];
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
  ];
}

export const networkDefinition = defineActor(networkKind, {
  chartVersion: 1,
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
