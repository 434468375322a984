/** The kind `cluster`: one actor that registers hosts, allocates VNIs and places VMs and imports. */
import { vniCandidates, type ClusterContext } from '@photoncloud/machines/cluster/cluster-context';
import { isFound } from '@photoncloud/machines/cluster/cluster-loss';
import { clusterMachine } from '@photoncloud/machines/cluster/cluster-machine';
import { clusterKind, type PlaceRequest } from '@photoncloud/machines/cluster/cluster-protocol';
import type { HostInventory } from '@photoncloud/machines/values/inventory-schema';
import type { RowKey } from '@photoncloud/runtime/contract/actor-definition';
import type { ActorEvent } from '@photoncloud/runtime/contract/envelope';
import { defineActor } from '../kind/kind-definition.ts';

const foundRows = ({ runs, ports, vnis }: HostInventory): RowKey[] => [
  ...runs.map(({ vm }) => ({ collection: 'found-run', key: vm })),
  ...[...new Set(ports.map(({ vpc }) => vpc))].map((key) => ({ collection: 'found-ports', key })),
  ...vnis.flatMap(({ vpc, vni }) => [
    { collection: 'vni', key: vpc },
    { collection: 'vni-owner', key: String(vni) },
  ]),
];

function needs(event: ActorEvent, { nextVni, hosts }: ClusterContext): RowKey[] {
  const reservation = { collection: 'reservation', key: String(event['vm']) };
  const waiting = { collection: 'waiting', key: '*' };
  const promise = (volume: unknown): RowKey => ({ collection: 'promise', key: String(volume) });
  if (event.type === 'room.claim') return [promise(event['volume'])];
  if (event.type === 'room.release') return [promise(event['volume']), waiting];
  if (event.type === 'place') {
    const { volumes } = event as ActorEvent & Pick<PlaceRequest, 'volumes'>;
    const found = { collection: 'found-run', key: String(event['vm']) };
    return [reservation, found, waiting, ...volumes.map(({ volume }) => promise(volume))];
  }
  const reservations = { collection: 'reservation', key: '*' };
  if (event.type === 'occupants.ask') return [reservations];
  if (event.type === 'host.lost') return [reservations, promise('*')];
  if (isFound({ hosts }, event)) return [reservations, promise('*'), waiting];
  if (event.type === 'place.release' || event.type === 'place.transfer') {
    const { volumes = [], migration } = event as ActorEvent & { volumes?: readonly string[]; migration?: string };
    const ofMigration = migration === undefined ? [] : [{ collection: 'reservation', key: migration }];
    return [reservation, ...ofMigration, waiting, ...volumes.map(promise)];
  }
  if (event.type === 'inventory.report') return [...foundRows(event as ActorEvent & HostInventory), waiting];
  // The recovery may end with these.
  if (['host.register', 'cluster.release-barrier'].includes(event.type) || event.type.startsWith('xstate.after.'))
    return [waiting];
  if (event.type === 'era.ask') return [{ collection: 'found-ports', key: String(event['vpc']) }];
  const vni = { collection: 'vni', key: String(event['vpc']) };
  if (event.type === 'vni.release') return [vni];
  if (event.type !== 'vni.allocate') return [];
  return [vni, ...vniCandidates(nextVni).map((candidate) => ({ collection: 'vni-owner', key: String(candidate) }))];
}

export const clusterDefinition = defineActor(clusterKind, {
  chartVersion: 2,
  upgrades: { 1: ({ state, context }) => ({ state, context: { ...(context as object), rollout: null } }) },
  machine: clusterMachine,
  needs,
  spec: ({ name }: ClusterContext) => ({ name }),
  status: ({ hosts, nextVni, unplacedMib, era, recovery, store, rollout, conditions }: ClusterContext) => ({
    hosts,
    nextVni,
    unplacedMib,
    era,
    recovery,
    store,
    rollout,
    conditions,
  }),
  ignored: ['cluster.open', 'cluster.release-barrier', 'era.ask', 'inventory.report', 'vni.allocate'],
});
