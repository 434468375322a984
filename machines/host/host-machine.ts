/**
 * A host as the control plane sees it: present, silent, cordoned, fenced. Its agent does the work; this actor can
 * report its death. It keeps the cluster told what may be placed on it. It never touches what runs there: a silent
 * host's VMs may be well, until an operator says that it is off (docs/decisions/0012).
 */
import { assertEvent, assign, setup } from 'xstate';
import { hostRegister } from '../cluster/cluster-protocol.ts';
import { backoffMs, failureOf, type Failure } from '../values/failures.ts';
import { agentId, clusterId, partsOfId } from '../values/identifiers.ts';
import { effectActions } from '../values/kind.ts';
import { requests } from '../values/requests.ts';
import { reject, reply, send, tell, type Asked, type Seen } from '../values/telling.ts';
import { hostAdmitted, hostKind, type HostEvent } from './host-protocol.ts';
import type { HostReport } from './host-report.ts';

/** An operator's word that the host is off. */
interface FencingRecord {
  readonly by: string;
  readonly reason: string;
  /** Wall time, ms. */
  readonly at: number;
  /** The last life of the worker's process before it: what that one still says comes too late. */
  readonly boot: string;
}

export interface HostContext {
  readonly id: string;
  readonly uid: string;
  readonly name: string;
  /** One life of the worker's process. */
  readonly boot: string;
  readonly report: HostReport | null;
  /** Given by the cluster; 0 until then. */
  readonly index: number;
  readonly cordoned: boolean;
  readonly silent: boolean;
  /** Wall time of the last announcement, ms. */
  readonly announcedAt: number;
  /** While the word is being carried out, with the command that waits for it. */
  readonly order: (FencingRecord & { readonly command: string }) | null;
  /** Set while it is fenced. */
  readonly fencingRecord: FencingRecord | null;
  readonly tries: number;
  readonly failure: Failure | null;
}

type At = Seen<HostContext, HostEvent>;

/** It is there, and whatever was said of it is over. */
const heard = { silent: false, order: null, fencingRecord: null, tries: 0, failure: null } as const;

const register = ({ context }: At): readonly Asked[] => {
  const { name, report, cordoned, silent, fencingRecord } = context;
  const fenced = fencingRecord !== null;
  const facts = report as HostReport;
  return [
    send(clusterId, hostRegister({ host: name, facts, schedulable: !cordoned && !silent && !fenced, silent, fenced })),
  ];
};

const admit = ({ context: { name, index, boot } }: At): readonly Asked[] => [
  send(agentId(name), hostAdmitted({ index, boot })),
];

/** Tries of a take-over before the command is refused: a controller needs some seconds to see that a node is silent. */
const fenceTries = 5;

function noteOrder({ context, event }: At): Partial<HostContext> {
  assertEvent(event, 'host.fence');
  const { at, principal = '', commandId = '' } = event.meta;
  const order = { by: principal, reason: event.reason, at, boot: context.boot, command: commandId };
  return { order, tries: 0, failure: null };
}

function noteFencingRecord({ context, event }: At): Partial<HostContext> {
  assertEvent(event, 'host.take-over.done');
  if (context.order === null) return {};
  const { command: _, ...fencingRecord } = context.order;
  return { order: null, fencingRecord: { ...fencingRecord, boot: event.boot ?? fencingRecord.boot } };
}

const answerFencing = ({ context }: At): readonly Asked[] => [
  reply(context.order?.command ?? '', { host: context.name, fenced: true }),
];

const refuseFencing = ({ context, event }: At): readonly Asked[] => {
  const message = `${context.name} is there; fence a host only when it is off and will stay so`;
  const { code, message: why } = 'error' in event ? event.error : { code: 'host_present', message };
  return [reject({ commandId: context.order?.command ?? '', code, message: why })];
};

/** What a host that is not there is told all the same. */
const silent = {
  'host.registered': { actions: 'noteIndex' },
  'host.refused': { actions: 'noteRefusal' },
  'host.silent': {},
} as const;
const cordoned = {
  'host.cordon': { actions: ['cordon', 'tellCluster'] },
  'host.uncordon': { actions: ['uncordon', 'tellCluster'] },
} as const;

export const hostMachine = setup({
  types: { context: {} as HostContext, events: {} as HostEvent, input: {} as { id: string }, tags: {} as 'steady' },
  actions: {
    ...requests,
    ...effectActions(hostKind),
    noteReport: assign(({ context, event }) => {
      assertEvent(event, 'host.announce');
      const uid = context.uid === '' ? event.meta.ulid : context.uid;
      return { uid, boot: event.boot, report: event.facts, announcedAt: event.meta.at, ...heard };
    }),
    noteIndex: assign(({ event }) => {
      assertEvent(event, 'host.registered');
      return { index: event.facts.index, failure: null };
    }),
    noteRefusal: assign(({ event }) => {
      assertEvent(event, 'host.refused');
      return { failure: failureOf(event.error) };
    }),
    noteSilent: assign({ silent: true }),
    noteBack: assign(heard),
    noteOrder: assign(noteOrder),
    noteFencingRecord: assign(noteFencingRecord),
    noteFailure: assign(({ context, event }) =>
      'error' in event ? { failure: failureOf(event.error), tries: context.tries + 1 } : {},
    ),
    forgetOrder: assign({ order: null }),
    answerFencing: tell(answerFencing),
    refuseFencing: tell(refuseFencing),
    cordon: assign({ cordoned: true }),
    uncordon: assign({ cordoned: false }),
    tellCluster: tell(register),
    tellAgent: tell(admit),
  },
  guards: {
    mayPass: ({ context, event }) => 'error' in event && event.error.retryable && context.tries < fenceTries,
    isFenced: ({ context }) => context.fencingRecord !== null,
    isEarlierBoot: ({ context, event }) =>
      event.type === 'host.announce' && [context.boot, context.fencingRecord?.boot].includes(event.boot),
  },
  delays: {
    registerDeadline: 5_000,
    refusedPause: 30_000,
    fenceDeadline: 30_000,
    backoff: ({ context }) => backoffMs(context.tries),
  },
}).createMachine({
  id: 'host',
  context: ({ input }) => ({
    id: input.id,
    uid: '',
    name: partsOfId(input.id).name,
    boot: '',
    report: null,
    index: 0,
    cordoned: false,
    silent: false,
    announcedAt: 0,
    order: null,
    fencingRecord: null,
    tries: 0,
    failure: null,
  }),
  initial: 'born',
  states: {
    born: {
      description: 'Exists only within the step that creates it.',
      tags: 'steady',
      on: { 'host.announce': { target: 'present.joining', actions: 'noteReport' } },
    },
    present: {
      description: 'Its worker process is there.',
      initial: 'joining',
      on: {
        'host.announce': { target: '.joining', reenter: true, actions: 'noteReport' },
        'host.silent': { target: 'silent', actions: 'noteSilent' },
        'host.back': {},
        'host.cordon': { target: '.joining', actions: 'cordon' },
        'host.uncordon': { target: '.joining', actions: 'uncordon' },
      },
      states: {
        joining: {
          description: 'The cluster is told what this host has and whether it takes work; its answer is awaited.',
          entry: 'tellCluster',
          on: {
            'host.registered': { target: 'ready', actions: ['noteIndex', 'tellAgent'] },
            'host.refused': { target: 'refused', actions: 'noteRefusal' },
          },
          after: { registerDeadline: { target: 'joining', reenter: true } },
        },
        ready: {
          description: 'The host is part of the cluster; unless it is cordoned it takes work.',
          tags: 'steady',
          on: { 'host.registered': { actions: 'noteIndex' } },
        },
        refused: {
          description: 'The cluster will not have this host, and says why; it is asked again every half minute.',
          after: { refusedPause: { target: 'joining' } },
        },
      },
    },
    silent: {
      description:
        'Its worker process has not been heard of. What runs on it may well run on; nothing new is placed there.',
      tags: 'steady',
      entry: 'tellCluster',
      on: {
        ...silent,
        'host.back': { target: 'present.joining', actions: 'noteBack' },
        'host.announce': { target: 'present.joining', actions: 'noteReport' },
        ...cordoned,
        'host.fence': { target: 'fencing', actions: ['noteOrder', 'defer'] },
      },
    },
    fencing: {
      description:
        'An operator has said that it is off: its pinned counterparts are taken over, if it is silent indeed.',
      initial: 'taking',
      on: {
        ...silent,
        'host.back': [
          { guard: 'isFenced', target: 'fenced', actions: ['refuseFencing', 'forgetOrder'] },
          { target: 'present.joining', actions: ['refuseFencing', 'noteBack'] },
        ],
        'host.announce': [
          { guard: 'isEarlierBoot' },
          { target: 'present.joining', actions: ['refuseFencing', 'noteReport'] },
        ],
      },
      states: {
        taking: {
          description: 'A controller takes over what was pinned to the host.',
          entry: { type: 'host.take-over', params: ({ context }) => ({ host: context.name }) },
          on: {
            'host.take-over.done': { target: '#host.fenced', actions: ['answerFencing', 'noteFencingRecord'] },
            'host.take-over.failed': [
              { guard: 'mayPass', target: 'waiting', actions: 'noteFailure' },
              { guard: 'isFenced', target: '#host.fenced', actions: ['refuseFencing', 'forgetOrder'] },
              { target: '#host.silent', actions: ['refuseFencing', 'noteFailure', 'forgetOrder'] },
            ],
            'host.take-over.unknown': { target: 'waiting', actions: 'noteFailure' },
          },
          after: { fenceDeadline: { target: 'taking', reenter: true } },
        },
        waiting: {
          description: 'It could not be taken over yet; the failure says why. It is tried again shortly.',
          after: { backoff: { target: 'taking' } },
        },
      },
    },
    fenced: {
      description:
        'It is off, as an operator has said: nothing of what was there runs, and what is asked of it is answered so. ' +
        'A new boot of its worker removes what is left there, and announces itself once it has its actors back.',
      tags: 'steady',
      entry: 'tellCluster',
      on: {
        ...silent,
        'host.back': {},
        'host.announce': [{ guard: 'isEarlierBoot' }, { target: 'present.joining', actions: 'noteReport' }],
        // It had its pinned counterparts back, and was gone again before it could say so.
        'host.fence': { target: 'fencing', actions: ['noteOrder', 'defer'] },
        ...cordoned,
      },
    },
  },
});
