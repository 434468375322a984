/** The kind `vpc`: a routing domain; knows which hosts have which of its networks, and where each address is. */
import { provides, type VpcContext } from '@photoncloud/machines/vpc/vpc-context';
import type { VpcEvent } from '@photoncloud/machines/vpc/vpc-events';
import { vpcMachine } from '@photoncloud/machines/vpc/vpc-machine';
import type { ActorDefinition, RowKey } from '@photoncloud/runtime/contract/actor-definition';
import { vpcCommands } from './vpc-commands.ts';

const allLocations: RowKey[] = [{ collection: 'location', key: '*' }];

/** Every location is read only when a segment's spec has to be written anew; the usual request is answered without. */
function needs(event: VpcEvent, { segments }: VpcContext): RowKey[] {
  switch (event.type) {
    case 'segment.need':
      return provides(segments[event.host.name], event.host, event.network) ? [] : allLocations;
    case 'cidr.release':
    case 'segment.failed':
    case 'segment.removed':
    case 'vpc.delete':
      return allLocations;
    case 'port.located':
    case 'port.left':
      return [{ collection: 'location', key: event.address }];
    default:
      return [];
  }
}

function statusOf({ uid, vni, networks, segments, withdrawing }: VpcContext) {
  const hosts = Object.entries(segments).map(([host, view]) => ({
    host,
    generation: view.generation,
    acknowledged: view.acknowledged,
    networks: Object.keys(view.networks),
    failure: view.failure,
  }));
  return { uid, vni, networks, hosts, withdrawing: Object.keys(withdrawing) };
}

export const vpcDefinition: ActorDefinition = {
  kind: 'vpc',
  chartVersion: 1,
  machine: vpcMachine,
  placement: 'sharded',
  input: (id) => ({ id }),
  commands: vpcCommands,
  // `vpc.delete`: a tenant that ends asks also for a VPC that is not there, and is answered.
  createdBy: ['vpc.create', 'vpc.delete'],
  effects: {},
  needs: (event, context) => needs(event as unknown as VpcEvent, context),
  view: (context: VpcContext) => ({ spec: {}, status: statusOf(context) }),
  ignored: [
    'segment.ready',
    'segment.failed',
    'segment.removed',
    'port.left',
    'vni.allocated',
    'quota.granted',
    'cidr.release',
  ],
};
