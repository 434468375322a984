/** The kind `vpc`: a routing domain; stores which hosts have which of its networks, and the host of each address. */
import type { VpcContext } from '@photoncloud/machines/vpc/vpc-context';
import { vpcMachine } from '@photoncloud/machines/vpc/vpc-machine';
import { answerTo, publishesWhole, unknownTo } from '@photoncloud/machines/vpc/vpc-messages';
import { vpcKind, type VpcEvent } from '@photoncloud/machines/vpc/vpc-protocol';
import { peeringStep } from '@photoncloud/machines/vpc/vpc-peers';
import { lacksSections, peerMemberRows, sections } from '@photoncloud/machines/vpc/vpc-sections';
import type { ActorDefinition, RowKey } from '@photoncloud/runtime/contract/actor-definition';
import { defineActor } from '../kind/kind-definition.ts';

/** The collections of rows from which elements of sections are made. */
const wholeOf = (isWanted: (section: string) => boolean): readonly RowKey[] =>
  sections.flatMap(({ name, from }) =>
    !isWanted(name) ? [] : (from ?? []).map((collection) => ({ collection, key: '*' })),
  );

/** Whole collections are loaded only when a section is published whole; most requests do not need that. */
function needs(event: VpcEvent, context: VpcContext): readonly RowKey[] {
  switch (event.type) {
    case 'segment.need':
      return ['publish', 'repeat'].includes(answerTo(context, event)) ? wholeOf(() => true) : [];
    case 'segment.proven':
      return wholeOf((section) => unknownTo(context, event)[section] !== undefined);
    case 'segment.missed':
      return wholeOf((section) => event.generation === 0 || section === event.section);
    case 'network.claim':
      return lacksSections(context) ? wholeOf(() => true) : [];
    case 'element.put':
    case 'element.remove': {
      const step = peeringStep({ context, event });
      return [
        ...(publishesWhole({ context, event }) ? wholeOf(() => true) : []),
        ...(step === 'begins' ? [{ collection: 'location', key: '*' }] : []),
        ...(step === 'ends' ? [{ collection: peerMemberRows, key: '*' }] : []),
      ];
    }
    case 'peer.members':
      return event.whole
        ? [{ collection: peerMemberRows, key: '*' }]
        : [...Object.keys(event.put), ...event.removed].map((key) => ({ collection: peerMemberRows, key }));
    case 'members.watch':
      return [{ collection: 'location', key: '*' }];
    case 'network.release':
    case 'segment.failed':
    case 'segment.removed':
    case 'vpc.delete':
    case 'vpc.close':
      return wholeOf(() => true);
    case 'port.located':
    case 'port.left':
      return [{ collection: 'location', key: event.address }];
    default:
      return [];
  }
}

/** By host and section: the published and proven generations, which differ on a lagging host, and the failure. */
function statusOf({ vni, networks, segments, withdrawing }: VpcContext) {
  const hosts = Object.entries(segments).map(([host, view]) => ({
    host,
    networks: Object.keys(view.networks),
    sections: Object.fromEntries(
      Object.entries(view.sections).map(([name, { published, proven, failure }]) => [
        name,
        { published, proven, failure },
      ]),
    ),
    removing: view.removing,
    failure: view.failure,
  }));
  const claimed = Object.entries(networks).map(
    ([name, { spec, generation, realized }]) =>
      [name, { cidrs: spec.subnets.map(({ cidr }) => cidr), generation, realized }] as const,
  );
  return { vni, networks: Object.fromEntries(claimed), hosts, withdrawing: Object.keys(withdrawing) };
}

export const vpcDefinition: ActorDefinition = defineActor(vpcKind, {
  chartVersion: 2,
  upgrades: {
    // Elements got hosts and requirements, ports and subnets can be watched, and peerings follow the VPC.
    1: ({ state, context }) => {
      const { elements, ...rest } = context as unknown as VpcContext;
      const extended = Object.entries(elements).map(([section, keyed]) => [
        section,
        Object.fromEntries(Object.entries(keyed).map(([key, view]) => [key, { ...view, hosts: [], requires: null }])),
      ]);
      const unwatched = { watches: {}, followers: [], rangeWatchers: [] };
      return { state, context: { ...rest, elements: Object.fromEntries(extended), ...unwatched } };
    },
  },
  machine: vpcMachine,
  needs: (event, context) => needs(event as unknown as VpcEvent, context),
  status: statusOf,
  operatorOnly: ['hosts'],
  ignored: [
    'vpc.open',
    'vpc.close',
    'segment.proven',
    'segment.missed',
    'segment.failed',
    'segment.removed',
    'port.left',
    'peer.members',
    'vni.allocated',
    'quota.granted',
    'network.release',
  ],
});
