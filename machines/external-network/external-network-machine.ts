/**
 * An external network: its addresses, who uses them, and which of its gateway hosts leads. It decides alone, from what
 * hosts and gateways report (gateway-election.ts), and tells routers how it is reached. Upholds: an address has one
 * holder; a gateway host is told to lead only when no other can have the permit; nobody learns of it without a grant.
 */
import { assign, setup } from 'xstate';
import { declaredKit, deletedBy, newDeclared, ready, whenBorn } from '../values/declared.ts';
import { whileDeleting, whileLiving } from '../values/declared.ts';
import { requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import * as claims from './external-network-claims.ts';
import * as messages from './external-network-messages.ts';
import type { ExternalNetworkContext } from './external-network-messages.ts';
import {
  externalNetworkKind,
  type ExternalNetworkEvent,
  type ExternalNetworkSpec,
} from './external-network-protocol.ts';
import { problemsOf } from './external-network-spec.ts';
import * as election from './gateway-election.ts';

const kit = declaredKit<ExternalNetworkSpec, ExternalNetworkContext, ExternalNetworkEvent>(externalNetworkKind, {
  problems: problemsOf,
});

/** What is asked of it in every state in which it exists. */
const serving = {
  'external.claim': { actions: 'claim' },
  'external.release': { actions: 'release' },
  'external-network.addresses': { actions: 'listAddresses' },
  'external-network.verify': { actions: 'verifyAddresses' },
} as const;

const deleted = deletedBy(
  'external-network',
  { guard: 'isHeld', actions: ['rejectInUse', 'confirmHolders'] },
  { target: 'withdrawing', actions: 'awaitAnswer' },
);

/** A changed declaration is in force at once; the hosts are looked at again when they, or the uplink, have changed. */
const living = whileLiving(
  'external-network',
  { guard: 'revokesUsed', actions: 'rejectRevoked' },
  { guard: 'keepsGateways', actions: ['takeSpec', 'resolveSpace', 'observe', 'answerUpdated'] },
  {
    target: 'opening',
    // Also from `opening`: other hosts are followed then.
    reenter: true,
    actions: ['preferFirst', 'takeSpec', 'resolveSpace', 'observe', 'answerUpdated'],
  },
);

const unclear = { guard: 'isDoubtful', actions: ['noteGateway', 'noteHealth', 'answerDoubt'] } as const;
const seen = {
  'host.stands': [
    { guard: 'bringsNews', actions: ['noteHost', 'noteHealth', 'repeatTasks', 'publish'] },
    { actions: ['noteHost', 'noteHealth'] },
  ],
  'gateway.stands': [unclear, { actions: ['noteGateway', 'noteHealth'] }],
  'gateway.dropped': { actions: ['noteDropped', 'noteHealth'] },
} as const;

export const externalNetworkMachine = setup({
  types: {
    context: {} as ExternalNetworkContext,
    events: {} as ExternalNetworkEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...kit.actions,
    resolveSpace: assign(claims.resolveSpace),
    preferFirst: assign(messages.preferFirst),
    claim: act(claims.claim),
    release: act(claims.release),
    answerMissing: tell(claims.answerMissing),
    rejectInUse: tell(claims.rejectInUse),
    rejectRevoked: tell(claims.rejectRevoked),
    confirmHolders: tell(claims.confirmHolders),
    forgetBlocks: tell(claims.forgetBlocks),
    listAddresses: tell(claims.listAddresses),
    verifyAddresses: tell(claims.verifyAddresses),
    followHosts: tell(messages.followHosts),
    raiseTerm: assign(({ context }) => ({ term: context.term + 1 })),
    repeatTasks: tell(messages.repeatTasks),
    withdrawLead: act(messages.withdrawLead),
    giveLead: act(messages.giveLead),
    publish: act(messages.publish),
    noteHost: assign(messages.noteHost),
    noteGateway: assign(messages.noteGateway),
    noteDropped: assign(messages.noteDropped),
    noteHealth: assign(messages.noteHealth),
    answerDoubt: tell(messages.answerDoubt),
    denyDoubt: tell(messages.denyDoubt),
    denyTasks: tell(messages.denyTasks),
    dropGateways: tell(messages.dropGateways),
    forgetGateway: assign(messages.forgetGateway),
  },
  guards: {
    ...kit.guards,
    isHeld: ({ context }) => context.holders > 0,
    revokesUsed: claims.revokesUsed,
    keepsGateways: messages.keepsGateways,
    bringsNews: messages.bringsNews,
    isDoubtful: ({ event }) => event.type === 'gateway.stands' && event.doubts,
    isSurveyed: ({ context }) => election.isSurveyed(messages.electionOf(context)),
    isUnsurveyed: ({ context }) => !election.isSurveyed(messages.electionOf(context)),
    mustMove: ({ context }) => messages.mustMove(context),
    keepsLead: ({ context }) => !messages.mustMove(context),
    isOverdue: messages.isOverdue,
    hasStopped: messages.hasStopped,
    isLost: ({ context }) => election.isLost(messages.electionOf(context)),
    isUsable: ({ context }) => !election.isLost(messages.electionOf(context)),
    isGone: ({ context }) => Object.keys(context.gateways).length === 0,
  },
  delays: {
    /** For all gateway hosts to say what they can do. */
    surveyDeadline: 5_000,
    handover: ({ context }) => messages.handoverOf(context),
    gatewayReview: 30_000,
    withdrawDeadline: 30_000,
  },
}).createMachine({
  id: 'external-network',
  context: ({ input }) => ({
    ...newDeclared(input.id),
    space: null,
    holders: 0,
    gateways: {},
    active: null,
    preferred: null,
    told: null,
    term: 0,
    leadTerm: 0,
  }),
  initial: 'born',
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: {
        ...whenBorn('external-network', 'starting'),
        'external.claim': { target: 'gone', actions: 'answerMissing' },
      },
    },
    starting: {
      description: 'Transient: its addresses can be allocated from now on.',
      entry: [ready('False', 'Opening'), 'resolveSpace', 'observe', 'answerAll'],
      always: 'opening',
    },
    opening: {
      description: 'The gateway hosts are asked whether they are present and have the uplink.',
      entry: [ready('False', 'Opening'), 'followHosts', 'raiseTerm', 'repeatTasks', 'publish'],
      always: { guard: 'isSurveyed', target: 'leading' },
      on: { ...living, ...deleted, ...serving, ...seen },
      after: { surveyDeadline: { target: 'leading' } },
    },
    leading: {
      description: 'Transient: decides which gateway host leads.',
      entry: [ready('False', 'Deciding'), 'noteHealth'],
      always: [
        { guard: 'mustMove', target: 'moving' },
        { guard: 'isLost', target: 'waiting' },
        { target: 'ready', actions: 'giveLead' },
      ],
    },
    ready: {
      description: 'A gateway host leads; addresses are given to routers and external addresses.',
      tags: 'steady',
      entry: ['noteHealth', ready('True', 'Leading')],
      always: [
        { guard: 'mustMove', target: 'moving' },
        { guard: 'isLost', target: 'waiting' },
      ],
      on: { ...living, ...deleted, ...serving, ...seen },
      // As in `waiting`: a host that was not known when it was asked does not say by itself that it has joined.
      after: {
        gatewayReview: {
          guard: 'isUnsurveyed',
          target: 'ready',
          reenter: true,
          actions: ['followHosts', 'repeatTasks'],
        },
      },
    },
    moving: {
      description:
        'Another gateway host is to lead. The one that leads is told to stop; the next one leads once that one has ' +
        'said so, or its permit must have run out.',
      entry: [ready('False', 'Moving'), 'withdrawLead'],
      always: [
        { guard: 'keepsLead', target: 'ready', actions: 'giveLead' },
        { guard: 'hasStopped', target: 'ready', actions: 'giveLead' },
      ],
      on: {
        ...serving,
        ...seen,
        'host.stands': [
          { guard: 'bringsNews', actions: ['noteHost', 'noteHealth', 'denyTasks'] },
          { actions: ['noteHost', 'noteHealth'] },
        ],
        'gateway.stands': [
          { guard: 'isDoubtful', actions: ['noteGateway', 'noteHealth', 'denyDoubt'] },
          { actions: ['noteGateway', 'noteHealth'] },
        ],
        'external-network.create': { actions: 'rejectUndecided' },
        'external-network.update': { actions: 'rejectUndecided' },
        'external-network.apply': { actions: 'rejectUndecided' },
        'external-network.delete': { actions: 'rejectUndecided' },
      },
      after: {
        handover: [
          { guard: 'isOverdue', target: 'ready', actions: 'giveLead' },
          { guard: 'hasStopped', target: 'ready', actions: 'giveLead' },
          // It is not silent, so it is waited for: to say that it has stopped, or to fall silent.
          { target: 'moving', reenter: true },
        ],
      },
    },
    waiting: {
      description: 'No gateway host can be used; the failure says why. Nothing gets out until one can.',
      tags: 'steady',
      entry: ['noteHealth', ready('False', 'NoGateway'), 'publish'],
      always: [
        { guard: 'mustMove', target: 'moving' },
        { guard: 'isUsable', target: 'ready', actions: 'giveLead' },
      ],
      on: { ...living, ...deleted, ...serving, ...seen },
      // A host that was not known when it was asked about has joined since.
      after: { gatewayReview: { target: 'waiting', reenter: true, actions: ['followHosts', 'repeatTasks'] } },
    },
    withdrawing: {
      description: 'Its gateway hosts end their permits.',
      entry: [ready('False', 'Deleting'), 'dropGateways'],
      always: { guard: 'isGone', target: 'gone', actions: 'forgetBlocks' },
      on: {
        ...whileDeleting('external-network'),
        'external.claim': { actions: 'answerMissing' },
        'external.release': {},
        'external-network.addresses': { actions: 'rejectBusy' },
        'external-network.verify': { actions: 'rejectBusy' },
        'host.stands': {},
        'gateway.stands': {},
        'gateway.dropped': { actions: 'forgetGateway' },
      },
      after: { withdrawDeadline: { target: 'withdrawing', reenter: true } },
    },
    gone: {
      description: 'The external network has ended, or was never created; its name is free.',
      type: 'final',
      entry: 'answerAll',
    },
  },
});
