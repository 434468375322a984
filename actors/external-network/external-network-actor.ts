/** The kind `external-network`: addresses of tenants outside of the cloud, and the gateway host that leads. */
import { externalNetworkMachine } from '@photoncloud/machines/external-network/external-network-machine';
import {
  routerRows,
  type ExternalNetworkContext,
} from '@photoncloud/machines/external-network/external-network-messages';
import { externalNetworkKind } from '@photoncloud/machines/external-network/external-network-protocol';
import { nextBlock } from '@photoncloud/machines/network/network-addresses';
import { utilisation } from '@photoncloud/machines/network/network-audit';
import { blockOf, parseAddress } from '@photoncloud/machines/values/addresses';
import type { RowKey } from '@photoncloud/runtime/contract/actor-definition';
import type { ActorEvent } from '@photoncloud/runtime/contract/envelope';
import { defineActor } from '../kind/kind-definition.ts';

const row = (collection: string, key: string): RowKey => ({ collection, key });

/** The rows of an address: its block and its owner. */
function ofAddress(text: unknown): RowKey[] {
  const at = typeof text === 'string' ? parseAddress(text) : undefined;
  return at === undefined ? [] : [row('block', blockOf(at)), row('owner', String(text))];
}

/** Events after which another gateway host may lead, which all routers are told. */
const mayMove = ['host.stands', 'gateway.stands', 'gateway.dropped'];

function needs(event: ActorEvent, { space }: ExternalNetworkContext): RowKey[] {
  const { type, by, address } = event;
  const routers = row(routerRows, '*');
  if (type === 'external.claim' || type === 'external.release') {
    const next = type === 'external.release' || address !== null || space === null ? undefined : nextBlock([space]);
    const block = next === undefined ? [] : [row('block', next.block)];
    return [row('port', String(by)), row(routerRows, String(by)), ...ofAddress(address), ...block];
  }
  if (type === 'external-network.addresses') return [row('owner', '*')];
  if (type === 'external-network.verify')
    return ['owner', 'port', 'block', routerRows].map((collection) => row(collection, '*'));
  if (type === 'gateway.dropped') return [routers, row('block', '*')];
  if (mayMove.includes(type) || type.startsWith('xstate.after.')) return [routers];
  if (type.startsWith('external-network.')) return [routers, row('port', '*'), row('block', '*')];
  return [];
}

const used = (space: ExternalNetworkContext['space']) =>
  space === null ? { used: 0, all: 0, outside: 0 } : utilisation({ subnets: [space] });

export const externalNetworkDefinition = defineActor(externalNetworkKind, {
  chartVersion: 1,
  machine: externalNetworkMachine,
  needs,
  status: ({ spec, space, holders, active, gateways, term }: ExternalNetworkContext) => ({
    ...used(space),
    holders,
    active,
    standby: spec?.hosts.find((host) => host !== active) ?? null,
    term,
    gateways,
  }),
  ignored: ['external.release', 'host.stands', 'gateway.stands', 'gateway.dropped'],
});
