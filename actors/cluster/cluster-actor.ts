/** The kind `cluster`: one actor that knows the hosts, gives VNIs and places VMs and imports. No client commands it. */
import { vniCandidates, type ClusterContext } from '@photoncloud/machines/cluster/cluster-context';
import { clusterMachine } from '@photoncloud/machines/cluster/cluster-machine';
import type { ActorDefinition, RowKey } from '@photoncloud/runtime/contract/actor-definition';
import type { ActorEvent } from '@photoncloud/runtime/contract/envelope';

function needs(event: ActorEvent, { nextVni }: ClusterContext): RowKey[] {
  if (event.type === 'place' || event.type === 'place.release')
    return [{ collection: 'reservation', key: String(event['vm']) }];
  const vni = { collection: 'vni', key: String(event['vpc']) };
  if (event.type === 'vni.release') return [vni];
  if (event.type !== 'vni.allocate') return [];
  return [vni, ...vniCandidates(nextVni).map((candidate) => ({ collection: 'vni-owner', key: String(candidate) }))];
}

export const clusterDefinition: ActorDefinition = {
  kind: 'cluster',
  chartVersion: 1,
  machine: clusterMachine,
  placement: 'sharded',
  input: (id) => ({ id }),
  commands: {},
  createdBy: ['cluster.open'],
  effects: {},
  needs,
  view: ({ name, hosts, nextVni }: ClusterContext) => ({ spec: { name }, status: { hosts, nextVni } }),
  ignored: ['cluster.open'],
};
