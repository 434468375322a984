/**
 * The drain of a host. It decides nothing about a VM: it asks the cluster which VMs are there, and a few of them at a
 * time to leave; each VM says whether it does, or why it stays. A VM that stays is asked again after a while, for as
 * long as the drain lasts. Every answer is durable, so a drain goes on where it was after a crash. Upholds: no more
 * than `maxParallel` VMs are asked to move at once; it ends as drained only when the cluster has no VM on the host.
 */
import { assertEvent, assign, setup } from 'xstate';
import { occupantsAsk } from '../cluster/cluster-protocol.ts';
import { clusterId, hostId, partsOfId } from '../values/identifiers.ts';
import { requests } from '../values/requests.ts';
import { act, send, tell, type Acted, type Asked, type Seen } from '../values/telling.ts';
import { drainStands, vmEvacuate } from './drain-protocol.ts';
import type { DrainEvent, DrainLimits, DrainProgress, Staying } from './drain-protocol.ts';

export interface DrainContext {
  readonly id: string;
  /** Name of the host. */
  readonly host: string;
  readonly limits: DrainLimits;
  /** Wall time of its beginning, ms. */
  readonly since: number;
  /** VMs that have left and have nothing there any more. */
  readonly moved: number;
  /** Actor ids of VMs that say that they have left. */
  readonly left: readonly string[];
  /** Actor ids of VMs that are on their way. */
  readonly moving: readonly string[];
  /** Of VMs that are still to be asked in this round. */
  readonly pending: readonly string[];
  /** VMs that stay, as they have said in this round or the last one. */
  readonly waiting: readonly Staying[];
  /** Rounds in a row in which no VM has left. */
  readonly tries: number;
}

type At = Seen<DrainContext, DrainEvent>;
type Done = Acted<DrainContext>;

/** Of more VMs the host shows how many there are; the drain itself has all of them. */
export const shownStaying = 20;

export const progressOf = (context: DrainContext, phase: DrainProgress['phase']): DrainProgress => {
  const { since, moving, pending, waiting } = context;
  const moved = context.moved + context.left.length;
  const shown = waiting.slice(0, shownStaying);
  const counts = { pending: pending.length, waitingCount: waiting.length };
  return { phase, since, moved, moving: [...moving], waiting: shown, ...counts };
};

const telling =
  (phase: DrainProgress['phase']) =>
  ({ context }: At): readonly Asked[] => [
    send(hostId(context.host), drainStands({ progress: progressOf(context, phase) })),
  ];

const askOccupants = ({ context: { host } }: At): readonly Asked[] => [send(clusterId, occupantsAsk({ host }))];

function noteOrder({ context, event }: At): Partial<DrainContext> {
  assertEvent(event, 'drain.start');
  const { host, limits, meta } = event;
  return { host, limits, since: context.since === 0 ? meta.at : context.since, tries: 0 };
}

const known = ({ moving, left, pending, waiting }: DrainContext): readonly string[] => [
  ...new Set([...moving, ...left, ...pending, ...waiting.map(({ vm }) => vm)]),
];

/** A new round: all that are on the host are asked, but those that are on their way. */
function noteOccupants({ context, event }: At): Partial<DrainContext> {
  assertEvent(event, 'occupants');
  const here = new Set(event.vms);
  const gone = known(context).filter((vm) => !here.has(vm)).length;
  const moving = context.moving.filter((vm) => here.has(vm));
  const left = context.left.filter((vm) => here.has(vm));
  return {
    moved: context.moved + gone,
    moving,
    left,
    pending: event.vms.filter((vm) => !moving.includes(vm) && !left.includes(vm)),
    waiting: context.waiting.filter(({ vm }) => here.has(vm)),
    tries: gone > 0 ? 0 : context.tries + 1,
  };
}

/** A VM that has said before why it stays may be stopped and started elsewhere, if the operator wants that. */
const evacuation = ({ host, limits, waiting }: DrainContext, vm: string): Asked =>
  send(vm, vmEvacuate({ host, restart: limits.restart && waiting.some((one) => one.vm === vm) }));

/** As many as may move together. */
function askNext({ context }: At): Done {
  const next = context.pending.slice(0, Math.max(0, context.limits.maxParallel - context.moving.length));
  return {
    changes: { moving: [...context.moving, ...next], pending: context.pending.slice(next.length) },
    asks: next.map((vm) => evacuation(context, vm)),
  };
}

/** Those that were asked before say again how far they are. */
const askMoving = ({ context }: At): readonly Asked[] => context.moving.map((vm) => evacuation(context, vm));

/** The VM is on its way, or stays; of one that has left the cluster says that nothing is left there. */
function noteEvacuation({ context, event }: At): Partial<DrainContext> {
  assertEvent(event, 'vm.evacuation');
  const { vm, standing, reason } = event;
  if (!context.moving.includes(vm) || standing === 'moving') return {};
  const others = context.waiting.filter((one) => one.vm !== vm);
  const moving = context.moving.filter((one) => one !== vm);
  if (standing === 'left' || reason === null) return { moving, waiting: others, left: [...context.left, vm] };
  const waiting = [...others, { vm, ...reason }].toSorted((a, b) => (a.vm < b.vm ? -1 : 1));
  return { moving, waiting };
}

const reviewMs = ({ waiting, tries }: DrainContext): number =>
  waiting.length === 0 ? 1_000 : Math.min(60_000, 10_000 * 2 ** Math.min(tries, 3));

const anew = {
  'drain.start': { target: 'counting', reenter: true, actions: 'noteOrder' },
  'drain.cancel': { target: 'cancelled' },
} as const;

export const drainMachine = setup({
  types: { context: {} as DrainContext, events: {} as DrainEvent, input: {} as { id: string }, tags: {} as 'steady' },
  actions: {
    ...requests,
    noteOrder: assign(noteOrder),
    noteOccupants: assign(noteOccupants),
    noteEvacuation: assign(noteEvacuation),
    askOccupants: tell(askOccupants),
    askMoving: tell(askMoving),
    askNext: act(askNext),
    tellMoving: tell(telling('moving')),
    tellWaiting: tell(telling('waiting')),
    tellDrained: tell(telling('drained')),
    tellCancelled: tell(telling('cancelled')),
  },
  guards: {
    /** Nothing is there, and nothing new comes there. */
    isEmpty: ({ event }) => event.type === 'occupants' && event.vms.length === 0 && event.arriving === 0 && !event.open,
    allAnswered: ({ context }) => context.moving.length === 0 && context.pending.length === 0,
    isOfRound: ({ context, event }) => event.type === 'vm.evacuation' && context.moving.includes(event.vm),
  },
  delays: {
    countDeadline: 10_000,
    moveReview: 30_000,
    review: ({ context }) => reviewMs(context),
  },
}).createMachine({
  id: 'drain',
  context: ({ input }) => ({
    id: input.id,
    host: partsOfId(input.id).name,
    limits: { maxParallel: 1, restart: false },
    since: 0,
    moved: 0,
    left: [],
    moving: [],
    pending: [],
    waiting: [],
    tries: 0,
  }),
  initial: 'born',
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      on: {
        'drain.start': { target: 'counting', actions: 'noteOrder' },
        'drain.cancel': { target: 'cancelled' },
      },
    },
    counting: {
      description: 'The cluster says which VMs are on the host.',
      entry: 'askOccupants',
      on: {
        ...anew,
        occupants: [
          { guard: 'isEmpty', target: 'drained', actions: 'noteOccupants' },
          { target: 'moving', actions: 'noteOccupants' },
        ],
        'vm.evacuation': { actions: 'noteEvacuation' },
      },
      after: { countDeadline: { target: 'counting', reenter: true } },
    },
    moving: {
      description: 'VMs are on their way to other hosts. As soon as one has left or stays, the next one is asked.',
      entry: ['askMoving', 'askNext', 'tellMoving'],
      always: { guard: 'allAnswered', target: 'waiting' },
      on: {
        ...anew,
        'vm.evacuation': { guard: 'isOfRound', actions: ['noteEvacuation', 'askNext', 'tellMoving'] },
      },
      after: { moveReview: { target: 'counting' } },
    },
    waiting: {
      description:
        'Each VM that is left has said why it stays. All are asked again after a while: after a second when they say ' +
        'that they have left, else after 10 s to a minute.',
      entry: 'tellWaiting',
      on: anew,
      after: { review: { target: 'counting' } },
    },
    drained: {
      description: 'No VM is on the host, and none is placed there while it is cordoned.',
      type: 'final',
      entry: 'tellDrained',
    },
    cancelled: {
      description: 'No further VM is moved. Those that are on their way arrive.',
      type: 'final',
      entry: 'tellCancelled',
    },
  },
});
