/**
 * A host in the control plane: present, silent, cordoned or fenced. Its agent works on the host itself; this actor
 * keeps the cluster informed about what may be placed there, also while the host is down. It never stops VMs: those of
 * a silent host may still run, until an operator fences it (docs/decisions/0012).
 */
import { assertEvent, assign, setup } from 'xstate';
import { hostLost, hostRegister } from '../cluster/cluster-protocol.ts';
import { drainCancel, drainStart, type DrainLimits, type DrainProgress } from '../drain/drain-protocol.ts';
import { backoffMs, failureOf, type Failure } from '../values/failures.ts';
import { agentId, clusterId, idOf, partsOfId, systemTenant } from '../values/identifiers.ts';
import { effectActions } from '../values/kind.ts';
import { requests } from '../values/requests.ts';
import { reject, reply, send, tell, type Asked, type Seen } from '../values/telling.ts';
import { hostAdmitted, hostKind, hostStands, lossDelayMs, type HostEvent, type HostStanding } from './host-protocol.ts';
import type { HostReport } from './host-report.ts';

/** The fencing record: an operator's confirmation that the host is powered off. */
interface FencingRecord {
  readonly by: string;
  readonly reason: string;
  /** Wall time, ms. */
  readonly at: number;
  /** The last boot of the worker before the fencing: its late messages are ignored. */
  readonly boot: string;
}

export interface HostContext {
  readonly id: string;
  readonly uid: string;
  readonly name: string;
  /** Boot of the worker process. */
  readonly boot: string;
  readonly report: HostReport | null;
  /** Allocated by the cluster; 0 until then. */
  readonly index: number;
  readonly cordoned: boolean;
  readonly silent: boolean;
  /** Wall time of the last announcement, ms. */
  readonly announcedAt: number;
  /** The fencing in progress, with the deferred command. */
  readonly order: (FencingRecord & { readonly command: string }) | null;
  /** Set while it is fenced. */
  readonly fencingRecord: FencingRecord | null;
  /** Actor ids of those that want to know whether it is present. */
  readonly followers: readonly string[];
  /** Ordered by an operator, until it is cancelled; also when no VM is left. */
  readonly drain: { readonly limits: DrainLimits; readonly progress: DrainProgress | null } | null;
  readonly tries: number;
  readonly failure: Failure | null;
}

type At = Seen<HostContext, HostEvent>;

/** The host is present; an earlier fencing no longer applies. */
const heard = { silent: false, order: null, fencingRecord: null, tries: 0, failure: null } as const;

const register = ({ context }: At): readonly Asked[] => {
  const { name, report, cordoned, silent, fencingRecord } = context;
  const fenced = fencingRecord !== null;
  const facts = report as HostReport;
  return [
    send(clusterId, hostRegister({ host: name, facts, schedulable: !cordoned && !silent && !fenced, silent, fenced })),
  ];
};

const tellLost = ({ context: { name } }: At): readonly Asked[] => [send(clusterId, hostLost({ host: name }))];

const admit = ({ context: { name, index, boot } }: At): readonly Asked[] => [
  send(agentId(name), hostAdmitted({ index, boot })),
];

function standingOf({ fencingRecord, silent: isSilent, index }: HostContext): HostStanding {
  if (fencingRecord !== null) return 'fenced';
  return isSilent || index === 0 ? 'silent' : 'present';
}

function standsAs(context: HostContext, to: string): Asked {
  const { name, index, report } = context;
  const { underlay = '', underlayMtu = 0 } = report ?? {};
  return send(to, hostStands({ host: { name, index, underlay, underlayMtu }, standing: standingOf(context) }));
}

const tellFollowers = ({ context }: At): readonly Asked[] => context.followers.map((one) => standsAs(context, one));

const tellFollower = ({ context, event }: At): readonly Asked[] => {
  assertEvent(event, 'host.follow');
  return [standsAs(context, event.meta.from ?? '')];
};

function withFollower({ context, event }: At): Partial<HostContext> {
  assertEvent(event, ['host.follow', 'host.unfollow']);
  const { from = '' } = event.meta;
  const others = context.followers.filter((one) => one !== from);
  return { followers: event.type === 'host.follow' ? [...others, from].sort() : others };
}

const drainId = ({ name }: HostContext): string => idOf('drain', systemTenant, name);

function noteDrain({ event }: At): Partial<HostContext> {
  assertEvent(event, 'host.drain');
  const { maxParallel, restart } = event;
  return { cordoned: true, drain: { limits: { maxParallel, restart }, progress: null } };
}

function noteProgress({ context: { drain }, event }: At): Partial<HostContext> {
  assertEvent(event, 'drain.stands');
  return drain === null ? {} : { drain: { ...drain, progress: event.progress } };
}

/** Once the cluster places nothing there any more. Asked again, the drain goes on where it is. */
const askDrain = ({ context }: At): readonly Asked[] => {
  const { name: host, drain } = context;
  if (drain === null || drain.progress?.phase === 'drained') return [];
  return [send(drainId(context), drainStart({ host, limits: drain.limits }))];
};

const endDrain = ({ context }: At): readonly Asked[] =>
  context.drain === null || context.drain.progress?.phase === 'drained'
    ? []
    : [send(drainId(context), drainCancel({}))];

/** Attempts of a take-over before the command is rejected: a controller needs seconds to detect a silent node. */
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
  const message = `${context.name} is present; fence a host only when it is powered off and stays off`;
  const { code, message: why } = 'error' in event ? event.error : { code: 'host_present', message };
  return [reject({ commandId: context.order?.command ?? '', code, message: why })];
};

/** Events that an absent host still handles. */
const silent = {
  'host.registered': { actions: 'noteIndex' },
  'host.refused': { actions: 'noteRefusal' },
  'host.silent': {},
} as const;
const cordoned = {
  'host.cordon': { actions: ['cordon', 'tellCluster'] },
  'host.uncordon': { actions: ['endDrain', 'uncordon', 'tellCluster'] },
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
    noteIndex: assign(({ context, event }) => {
      assertEvent(event, 'host.registered');
      // The failure of a fencing in progress stays.
      return { index: event.facts.index, failure: context.order === null ? null : context.failure };
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
    uncordon: assign({ cordoned: false, drain: null }),
    noteDrain: assign(noteDrain),
    noteProgress: assign(noteProgress),
    forgetDrain: assign({ drain: null }),
    askDrain: tell(askDrain),
    endDrain: tell(endDrain),
    tellCluster: tell(register),
    tellLost: tell(tellLost),
    tellAgent: tell(admit),
    noteFollower: assign(withFollower),
    tellFollower: tell(tellFollower),
    tellFollowers: tell(tellFollowers),
  },
  guards: {
    mayPass: ({ context, event }) => 'error' in event && event.error.retryable && context.tries < fenceTries,
    isFenced: ({ context }) => context.fencingRecord !== null,
    isEarlierBoot: ({ context, event }) =>
      event.type === 'host.announce' && [context.boot, context.fencingRecord?.boot].includes(event.boot),
  },
  delays: {
    registerDeadline: 5_000,
    lossDelay: lossDelayMs,
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
    followers: [],
    drain: null,
    tries: 0,
    failure: null,
  }),
  initial: 'born',
  on: {
    'host.follow': { actions: ['noteFollower', 'tellFollower'] },
    'host.unfollow': { actions: 'noteFollower' },
    'host.cancel-drain': { actions: ['endDrain', 'forgetDrain'] },
    'drain.stands': { actions: 'noteProgress' },
  },
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: { 'host.announce': { target: 'present.joining', actions: 'noteReport' } },
    },
    present: {
      description: 'Its worker process is present.',
      initial: 'joining',
      on: {
        'host.announce': { target: '.joining', reenter: true, actions: 'noteReport' },
        'host.silent': { target: 'silent', actions: 'noteSilent' },
        'host.back': {},
        'host.cordon': { target: '.joining', actions: 'cordon' },
        'host.uncordon': { target: '.joining', actions: ['endDrain', 'uncordon'] },
        'host.drain': { target: '.joining', actions: 'noteDrain' },
      },
      states: {
        joining: {
          description: 'The facts of the host were sent to the cluster, which has not answered yet.',
          entry: 'tellCluster',
          on: {
            'host.registered': { target: 'ready', actions: ['noteIndex', 'tellAgent'] },
            'host.refused': { target: 'refused', actions: 'noteRefusal' },
          },
          after: { registerDeadline: { target: 'joining', reenter: true } },
        },
        ready: {
          description: 'The cluster has admitted the host; unless it is cordoned it takes new VMs.',
          tags: 'steady',
          entry: ['tellFollowers', 'askDrain'],
          on: { 'host.registered': { actions: 'noteIndex' } },
        },
        refused: {
          description:
            'The cluster refuses this host; the failure says why. Registration is retried every half minute.',
          after: { refusedPause: { target: 'joining' } },
        },
      },
    },
    silent: {
      description: 'Its worker process is silent. VMs on it may still run; nothing new is placed there.',
      tags: 'steady',
      entry: ['tellCluster', 'tellFollowers'],
      on: {
        ...silent,
        'host.back': { target: 'present.joining', actions: 'noteBack' },
        'host.announce': { target: 'present.joining', actions: 'noteReport' },
        ...cordoned,
        'host.fence': { target: 'fencing', actions: ['noteOrder', 'defer'] },
      },
      after: { lossDelay: { actions: 'tellLost' } },
    },
    fencing: {
      description:
        'An operator has confirmed that it is powered off: its shard is taken over, if the worker is silent.',
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
          description: 'A controller takes over the shard of the host.',
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
          description: 'The take-over has failed; the failure says why. It is retried shortly.',
          after: { backoff: { target: 'taking' } },
        },
      },
    },
    fenced: {
      description:
        'The host is fenced: nothing runs there, and requests to its pinned actors fail with host_gone. ' +
        'A new boot of its worker removes what is left there, and announces itself once it owns its shard again.',
      tags: 'steady',
      entry: ['tellCluster', 'tellFollowers'],
      on: {
        ...silent,
        'host.back': {},
        'host.announce': [{ guard: 'isEarlierBoot' }, { target: 'present.joining', actions: 'noteReport' }],
        // The worker had its shard back, and became silent before it could announce itself.
        'host.fence': { target: 'fencing', actions: ['noteOrder', 'defer'] },
        ...cordoned,
      },
    },
  },
});
