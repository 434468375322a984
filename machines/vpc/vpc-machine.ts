/**
 * A VPC: one routing domain of a tenant. It claims CIDRs, decides which hosts have a segment with which networks, and
 * publishes to every segment what it is to have, section by section. It makes nothing itself: segments do, and prove
 * it. Upholds: no two networks of a VPC overlap; a network's CIDRs are free only after no host has it any more; a
 * network is realized, and a port provided, only by proofs of the hosts.
 */
import { assign, setup } from 'xstate';
import { declaredKit, deletedBy, newDeclared, ready, whenBorn } from '../values/declared.ts';
import { acceptedAtOnce, whileDeclaring, whileDeleting, whileLiving } from '../values/declared.ts';
import { requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import type { VpcContext } from './vpc-context.ts';
import * as messages from './vpc-messages.ts';
import { vpcKind, type VpcEvent, type VpcSpec } from './vpc-protocol.ts';
import { hasElements } from './vpc-elements.ts';

const kit = declaredKit<VpcSpec, VpcContext, VpcEvent>(vpcKind, { result: ({ vni }) => ({ vni }) });

const declaring = whileDeclaring('vpc', { actions: ['takeSpec', 'awaitAnswer'] });

/** Hosts or none: an element is taken down at any time. */
const elements = {
  'element.put': { actions: 'changeElement' },
  'element.remove': { actions: 'changeElement' },
} as const;

export const vpcMachine = setup({
  types: { context: {} as VpcContext, events: {} as VpcEvent, input: {} as { id: string }, tags: {} as 'steady' },
  actions: {
    ...requests,
    ...kit.actions,
    openSpec: assign(messages.openSpec),
    rejectInUse: tell(messages.inUse),
    askVni: tell(messages.askVni),
    noteVni: assign(({ event }) => (event.type === 'vni.allocated' ? { vni: event.vni } : {})),
    releaseVni: tell(messages.releaseVni),
    tellTenant: tell(messages.tellTenant),
    refuseEarly: tell(messages.refuseNeeds('still being made')),
    refuseLate: tell(messages.refuseNeeds('being deleted')),
    claimNetwork: act(messages.claimNetwork),
    releaseNetwork: act(messages.releaseNetwork),
    changeElement: act(messages.changeElement),
    provideSegment: act(messages.provideSegment),
    noteProven: act(messages.noteProven),
    republish: act(messages.republish),
    noteFailed: act(messages.noteFailed),
    noteRemoved: act(messages.noteRemoved),
    removeSegments: act(messages.removeSegments),
    dropSegment: assign(messages.dropSegment),
    locate: act(messages.locate),
    unlocate: act(messages.unlocate),
    forgetLocations: tell(messages.forgetLocations),
  },
  guards: {
    ...kit.guards,
    isHeld: ({ context }) => Object.keys(context.networks).length > 0 || hasElements(context),
    hasNoSegments: ({ context }) => messages.hostsOf(context).length === 0,
  },
  delays: { quotaDeadline: 5_000, vniDeadline: 5_000, removeDeadline: 30_000 },
}).createMachine({
  id: 'vpc',
  context: ({ input }) => ({
    ...newDeclared(input.id),
    vni: 0,
    networks: {},
    segments: {},
    waiting: [],
    withdrawing: {},
    elements: {},
    leaving: [],
  }),
  initial: 'born',
  states: {
    born: {
      description: 'Exists only within the step that creates it.',
      tags: 'steady',
      on: {
        ...whenBorn('vpc', 'claiming'),
        'vpc.open': { target: 'claiming', actions: 'openSpec' },
        // The tenant believes in a VPC that is not there: the claim goes, and that is all there was.
        'vpc.close': { target: 'gone', actions: 'releaseQuota' },
      },
    },
    claiming: {
      description: 'The tenant is asked whether its quota has room for one more VPC.',
      entry: [ready('False', 'ClaimingQuota'), 'claimQuota'],
      on: {
        ...declaring,
        ...deletedBy('vpc', { target: 'gone', actions: ['rejectDeleted', 'awaitAnswer', 'releaseQuota'] }),
        'vpc.open': {},
        'vpc.close': { target: 'gone', actions: ['rejectDeleted', 'releaseQuota'] },
        'quota.granted': { target: 'numbering' },
        'quota.refused': { target: 'gone', actions: 'rejectAll' },
        'network.claim': { actions: 'refuseEarly' },
        ...elements,
        'segment.need': { actions: 'refuseEarly' },
      },
      after: { quotaDeadline: { target: 'claiming', reenter: true } },
    },
    numbering: {
      description: 'The cluster gives the VPC its VNI, the number it has on the wire.',
      entry: [ready('False', 'WaitingForNumber'), 'askVni'],
      on: {
        ...declaring,
        ...deletedBy('vpc', { target: 'removing', actions: ['rejectDeleted', 'awaitAnswer'] }),
        'vpc.open': {},
        'vpc.close': { target: 'removing', actions: 'rejectDeleted' },
        'quota.granted': {},
        'vni.allocated': { target: 'ready', actions: ['noteVni', 'observe', 'tellTenant', 'answerAll'] },
        'network.claim': { actions: 'refuseEarly' },
        ...elements,
        'segment.need': { actions: 'refuseEarly' },
      },
      after: { vniDeadline: { target: 'numbering', reenter: true } },
    },
    ready: {
      description: 'Networks can be declared in it; each host with a port of the VPC has a segment.',
      tags: 'steady',
      entry: ready('True', 'Ready'),
      on: {
        ...whileLiving('vpc', acceptedAtOnce),
        ...deletedBy(
          'vpc',
          { guard: 'isHeld', actions: 'rejectInUse' },
          { target: 'removing', actions: 'awaitAnswer' },
        ),
        'vpc.open': { actions: 'tellTenant' },
        // Asked again by the tenant, until its networks are gone.
        'vpc.close': [{ guard: 'isHeld' }, { target: 'removing' }],
        'quota.granted': {},
        'vni.allocated': {},
        'network.claim': { actions: 'claimNetwork' },
        'network.release': { actions: 'releaseNetwork' },
        ...elements,
        'segment.need': { actions: 'provideSegment' },
        'segment.proven': { actions: 'noteProven' },
        'segment.missed': { actions: 'republish' },
        'segment.failed': { actions: 'noteFailed' },
        'segment.removed': { actions: 'noteRemoved' },
        'port.located': { actions: 'locate' },
        'port.left': { actions: 'unlocate' },
      },
    },
    removing: {
      description: 'Every segment of it is being taken off its host; then the VNI is given back.',
      entry: [ready('False', 'Deleting'), 'removeSegments'],
      always: { guard: 'hasNoSegments', target: 'gone', actions: ['forgetLocations', 'releaseVni', 'releaseQuota'] },
      on: {
        ...whileDeleting('vpc'),
        'vpc.open': {},
        'vpc.close': {},
        'vni.allocated': {},
        'network.claim': { actions: 'refuseLate' },
        'segment.need': { actions: 'refuseLate' },
        'segment.proven': {},
        'segment.missed': {},
        'segment.failed': { actions: 'noteFailed' },
        'segment.removed': { actions: 'dropSegment' },
        'port.left': {},
      },
      after: { removeDeadline: { target: 'removing', reenter: true } },
    },
    gone: {
      description: 'The VPC has ended; its name is free.',
      type: 'final',
      entry: 'answerAll',
    },
  },
});
