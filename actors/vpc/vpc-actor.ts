/** The kind `vpc`: a routing domain; knows which hosts have which of its networks, and where each address is. */
import type { VpcContext } from '@photoncloud/machines/vpc/vpc-context';
import { vpcMachine } from '@photoncloud/machines/vpc/vpc-machine';
import type { ActorDefinition, RowKey } from '@photoncloud/runtime/contract/actor-definition';
import type { ActorEvent } from '@photoncloud/runtime/contract/envelope';
import { vpcCommands } from './vpc-commands.ts';

/** Whatever may lead to a segment's spec needs every location; a single move needs its own. */
const wholeTable: ReadonlySet<string> = new Set([
  'segment.need', 'segment.ready', 'segment.failed', 'segment.removed', 'cidr.claim', 'cidr.release', 'vpc.delete',
]);

function needs(event: ActorEvent): RowKey[] {
  if (event.type === 'port.located' || event.type === 'port.left') return [{ collection: 'location', key: String(event['address']) }];
  return wholeTable.has(event.type) ? [{ collection: 'location', key: '*' }] : [];
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
  createdBy: ['vpc.create'],
  effects: {},
  needs,
  view: (context: VpcContext) => ({ spec: {}, status: statusOf(context) }),
  ignored: ['segment.ready', 'segment.failed', 'segment.removed', 'port.left', 'vni.allocated', 'quota.granted', 'cidr.release'],
};
