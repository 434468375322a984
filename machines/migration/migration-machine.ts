/**
 * A migration: a VM moves to another host while it runs. It acts on no host itself: it asks ports, volumes and images
 * for a second place, the runs on both hosts to send and to receive, and then the VM, which alone decides: its answer
 * to `migration.commit` is the point from which the new run is the one that goes on. Every step is durable before the
 * next begins. Upholds: before the VM has decided everything is undone, in reverse; afterwards it only goes forward;
 * neither guest is resumed before the VM has decided, and never both (docs/promises.md#one-run).
 */
import { assign, setup } from 'xstate';
import { requests } from '../values/requests.ts';
import { tell } from '../values/telling.ts';
import * as contexts from './migration-context.ts';
import type { At, MigrationContext } from './migration-context.ts';
import * as messages from './migration-messages.ts';
import type { MigrationEvent } from './migration-protocol.ts';

const isFrom = ({ event }: At, id: string): boolean => event.meta.from === id;
const isOfSource = (seen: At): boolean => isFrom(seen, contexts.sourceOf(seen.context));

/** What the actions of a step that was given up have in common. */
const undone = { target: '#migration.undoing', actions: 'noteFailure' } as const;
const abandoned = { target: '#migration.undoing', actions: ['noteLost', 'noteAbandoned'] } as const;
const cancelled = { target: '#migration.undoing', actions: ['noteCancelled', 'answerCancel'] } as const;
/** Before the VM has decided. */
const revocable = {
  'migration.cancel': cancelled,
  'migration.recall': cancelled,
  'migration.abandon': abandoned,
  'migration.start': { actions: 'tellBegun' },
} as const;
/** Afterwards, or when it is being undone anyway. */
const decided = {
  'migration.cancel': { actions: 'rejectCancel' },
  'migration.recall': {},
} as const;
const beingUndone = { 'migration.cancel': { actions: 'answerCancel' }, 'migration.recall': {} } as const;
const busy = { 'migration.start': { actions: 'refuseBusy' } } as const;
const overdue = { moveDeadline: { target: '#migration.undoing', actions: 'noteOverdue' } } as const;

export const migrationMachine = setup({
  types: {
    context: {} as MigrationContext,
    events: {} as MigrationEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    take: assign(contexts.take),
    noteHost: assign(contexts.noteHost),
    awaitParts: assign(contexts.awaitParts),
    awaitSource: assign(contexts.awaitSource),
    awaitTarget: assign(contexts.awaitTarget),
    awaitCut: assign(({ context }) => ({ awaited: contexts.handedOver(context) })),
    awaitSwitch: assign(({ context }) => ({
      awaited: [contexts.targetOf(context), ...contexts.portsOf(context)],
    })),
    noteLost: assign(contexts.noteLost),
    noteAbandoned: assign(contexts.noteAbandoned),
    awaitLeft: assign(({ context }) => ({ awaited: [...contexts.portsOf(context), ...contexts.mirrored(context)] })),
    awaitUndone: assign(({ context }) => ({
      awaited: [...contexts.portsOf(context), ...contexts.volumesOf(context)],
    })),
    noteTapped: assign(contexts.noteTapped),
    noteStands: assign(contexts.noteStands),
    noteStood: assign(contexts.noteStood),
    noteAnswered: assign(contexts.noteAnswered),
    noteReceiving: assign(contexts.noteReceiving),
    noteProgress: assign(contexts.noteProgress),
    noteHeld: assign(contexts.noteHeld),
    noteArrived: assign(contexts.noteArrived),
    noteSent: assign(contexts.noteSent),
    noteResumed: assign(contexts.noteResumed),
    noteFailure: assign(contexts.noteFailure),
    noteCancelled: assign(contexts.noteCancelled),
    noteStalled: assign(contexts.noteStalled),
    noteOverdue: assign(contexts.noteOverdue),
    noteMoved: assign({ result: 'moved' }),
    noteRolledBack: assign({ result: 'rolled-back' }),
    noteRefused: assign({ result: 'refused' }),
    askPlace: tell(messages.askPlace),
    tellBegun: tell(messages.tellBegun),
    askParts: tell(messages.askParts),
    askReceive: tell(messages.askReceive),
    askSend: tell(messages.askSend),
    askHold: tell(messages.askHold),
    askCommit: tell(messages.askCommit),
    askCut: tell(messages.askCut),
    askSwitch: tell(messages.askSwitch),
    askStopSource: tell(messages.askStopSource),
    transferPlace: tell(messages.transferPlace),
    askClear: tell(messages.askClear),
    freeImages: tell(messages.freeImages),
    askBack: tell(messages.askBack),
    askUndo: tell(messages.askUndo),
    releasePlace: tell(messages.releasePlace),
    tellEnded: tell(messages.tellEnded),
    refuseBusy: tell(messages.refuseBusy),
    answerCancel: tell(messages.answerCancel),
    rejectCancel: tell(messages.rejectCancel),
  },
  guards: {
    nothingAwaited: ({ context }) => context.awaited.length === 0,
    isListening: ({ context }) =>
      context.door !== null && contexts.portsOf(context).every((port) => context.standing.includes(port)),
    isComplete: ({ context }) => context.sent !== null && context.arrived,
    isTargetLost: contexts.isTargetLost,
    isOfSource,
    isOfTarget: (seen) => isFrom(seen, contexts.targetOf(seen.context)),
    /** For the whole window no less was left to send, though the guest was not stopped yet. */
    hasStalled: ({ context, event }) =>
      event.type === 'incarnation.progress' &&
      !context.held &&
      context.lowest !== null &&
      context.progress?.phase === event.progress.phase &&
      event.progress.remainingBytes >= context.lowest.bytes &&
      event.meta.at - context.lowest.at >= contexts.askOf(context).limits.stallSeconds * 1_000,
    mayPause: ({ context }) => contexts.askOf(context).limits.onStall === 'pause',
    mayThrottle: ({ context }) => contexts.askOf(context).limits.onStall === 'throttle',
    isRetryable: ({ event }) => 'error' in event && event.error?.retryable === true,
  },
  delays: {
    placeDeadline: 10_000,
    partsDeadline: 10_000,
    /** Of a step before the sending. */
    stepDeadline: 60_000,
    moveDeadline: ({ context }) => contexts.askOf(context).limits.deadlineSeconds * 1_000,
    sendReview: 15_000,
    commitDeadline: 1_000,
    switchDeadline: 2_000,
    stopDeadline: 15_000,
    lingerDelay: 2_000,
    clearDeadline: 5_000,
  },
}).createMachine({
  id: 'migration',
  context: ({ input }) => contexts.newMigration(input.id),
  initial: 'born',
  // It does not wait for a host; what it was refused ends it.
  on: { 'place.changed': {}, 'migration.abandon': { actions: 'noteLost' } },
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      on: { 'migration.start': { target: 'reserving', actions: 'take' } },
    },
    reserving: {
      description: 'A host is requested from the cluster, and its room is reserved in the name of the migration.',
      entry: 'askPlace',
      on: {
        'migration.cancel': { target: 'unbegun', actions: ['noteCancelled', 'answerCancel', 'noteRolledBack'] },
        'migration.recall': { target: 'unbegun', actions: ['noteCancelled', 'noteRolledBack'] },
        'migration.abandon': { target: 'unbegun', actions: ['noteAbandoned', 'noteRolledBack'] },
        placed: { target: 'preparing', actions: ['noteHost', 'tellBegun'] },
        'place.refused': { target: 'unbegun', actions: ['noteFailure', 'noteRefused'] },
      },
      after: { placeDeadline: { target: 'reserving', reenter: true } },
    },
    preparing: {
      description: 'Ports, volumes and images of the VM are prepared on the new host, all at once.',
      entry: 'awaitParts',
      initial: 'asking',
      always: { guard: 'nothingAwaited', target: 'receiving' },
      on: {
        ...revocable,
        'port.standby-tapped': { actions: 'noteTapped' },
        'port.stands': { actions: 'noteStands' },
        'volume.stood': { actions: 'noteStood' },
        'image.provided': { actions: 'noteAnswered' },
        'port.standby-failed': undone,
        'volume.refused': undone,
        'image.refused': undone,
      },
      states: {
        asking: {
          description: 'The outstanding requests are sent, and repeated.',
          entry: 'askParts',
          after: { partsDeadline: { target: 'asking', reenter: true } },
        },
      },
      after: { stepDeadline: { target: 'undoing', actions: 'noteOverdue' } },
    },
    receiving: {
      description: 'QEMU is started on the new host and listens; its taps are wired there except for their routes.',
      initial: 'asking',
      always: { guard: 'isListening', target: 'sending' },
      on: {
        ...revocable,
        'port.stands': { actions: 'noteStands' },
        'incarnation.receiving': { guard: 'isOfTarget', actions: 'noteReceiving' },
        'incarnation.ended': undone,
        'port.standby-failed': undone,
      },
      states: {
        asking: {
          description: 'The run there is requested, and again after a while.',
          entry: 'askReceive',
          after: { partsDeadline: { target: 'asking', reenter: true } },
        },
      },
      after: { stepDeadline: { target: 'undoing', actions: 'noteOverdue' } },
    },
    sending: {
      description: 'Volumes and memory are sent while the guest runs; at the end it stands still, and all has arrived.',
      initial: 'asking',
      always: { guard: 'isComplete', target: 'committing' },
      on: {
        ...revocable,
        'incarnation.progress': [
          { guard: 'hasStalled', target: '.stalled', actions: 'noteProgress' },
          { actions: 'noteProgress' },
        ],
        'incarnation.sent': { guard: 'isOfSource', actions: 'noteSent' },
        'incarnation.received': { guard: 'isOfTarget', actions: 'noteArrived' },
        'incarnation.unsent': { guard: 'isOfSource', ...undone },
        'incarnation.ended': undone,
        'port.standby-failed': undone,
      },
      states: {
        asking: {
          description: 'The present run is asked to send itself; asked again, it says what it has said.',
          entry: 'askSend',
          after: { sendReview: { target: 'asking', reenter: true } },
        },
        stalled: {
          description:
            'The guest writes as fast as it is sent: what then happens was said when the move was asked for.',
          always: [
            { guard: 'mayPause', target: 'asking', actions: ['noteHeld', 'askHold'] },
            { guard: 'mayThrottle', target: 'asking' },
            { target: '#migration.undoing', actions: 'noteStalled' },
          ],
        },
      },
      after: overdue,
    },
    committing: {
      description: 'Neither guest runs. The VM decides by its run epoch; without an answer it is asked again.',
      entry: 'askCommit',
      on: {
        'migration.cancel': { actions: 'rejectCancel' },
        'migration.recall': {},
        'migration.abandon': abandoned,
        'migration.start': { actions: 'tellBegun' },
        'migration.committed': { target: 'cutting' },
        'migration.refused': undone,
      },
      after: { commitDeadline: { target: 'committing', reenter: true } },
    },
    cutting: {
      description: 'The VM has its new host. Its former run is cut from the shared volumes.',
      initial: 'asking',
      entry: 'awaitCut',
      always: { guard: 'nothingAwaited', target: 'switching' },
      on: { ...decided, ...busy, 'volume.activated': { actions: 'noteAnswered' } },
      states: {
        asking: {
          description: 'The volumes are told, and again after a while.',
          entry: 'askCut',
          after: { switchDeadline: { target: 'asking', reenter: true } },
        },
      },
    },
    switching: {
      description: 'The guest goes on on its new host, and its addresses lead there.',
      initial: 'asking',
      entry: 'awaitSwitch',
      always: [
        // The VM has no place there any more.
        { guard: 'isTargetLost', target: 'stopping', actions: ['noteMoved', 'tellEnded', 'releasePlace'] },
        { guard: 'nothingAwaited', target: 'stopping', actions: ['noteMoved', 'tellEnded', 'transferPlace'] },
      ],
      on: {
        ...decided,
        ...busy,
        'port.taken-over': { actions: 'noteAnswered' },
        'incarnation.resumed': { guard: 'isOfTarget', actions: 'noteResumed' },
        // The host is gone: the VM, which is told that its run has ended, decides what follows.
        'port.standby-failed': { actions: 'noteAnswered' },
        'incarnation.ended': { guard: 'isOfTarget', actions: 'noteAnswered' },
      },
      states: {
        asking: {
          description: 'The run and the ports are told, and again after a while.',
          entry: 'askSwitch',
          after: { switchDeadline: { target: 'asking', reenter: true } },
        },
      },
    },
    stopping: {
      description: 'The VM runs on its new host. QEMU on the former one ends.',
      initial: 'asking',
      entry: 'awaitSource',
      always: { guard: 'nothingAwaited', target: 'lingering' },
      on: { ...decided, ...busy, 'incarnation.ended': { guard: 'isOfSource', actions: 'noteAnswered' } },
      states: {
        asking: {
          description: 'The former run is told, and again after a while: its host may be off.',
          entry: 'askStopSource',
          after: { stopDeadline: { target: 'asking', reenter: true } },
        },
      },
    },
    lingering: {
      description: 'The former host forwards what still comes to it.',
      on: { ...decided, ...busy },
      after: { lingerDelay: { target: 'clearing' } },
    },
    clearing: {
      description: 'What is left on the former host is removed: bindings, and the bytes of local volumes.',
      initial: 'asking',
      entry: 'awaitLeft',
      always: { guard: 'nothingAwaited', target: 'moved' },
      on: {
        ...decided,
        ...busy,
        'port.stood-down': { actions: 'noteAnswered' },
        'volume.activated': { actions: 'noteAnswered' },
        // The VM has attached it anew meanwhile, or it is no more.
        'volume.refused': { actions: 'noteAnswered' },
      },
      states: {
        asking: {
          description: 'Ports and volumes are told, and again after a while.',
          entry: 'askClear',
          after: { clearDeadline: { target: 'asking', reenter: true } },
        },
      },
    },
    undoing: {
      description: 'The VM has not changed its host. Its guest goes on where it was, however far the sending was.',
      initial: 'asking',
      entry: ['noteRolledBack', 'awaitSource'],
      always: { guard: 'nothingAwaited', target: 'ending', actions: 'tellEnded' },
      on: {
        ...beingUndone,
        'migration.start': {},
        'incarnation.unsent': { guard: 'isOfSource', actions: 'noteAnswered' },
        'incarnation.ended': { guard: 'isOfSource', actions: 'noteAnswered' },
      },
      states: {
        asking: {
          description: 'The present run is told, and again after a while.',
          entry: 'askBack',
          after: { switchDeadline: { target: 'asking', reenter: true } },
        },
      },
    },
    ending: {
      description: 'The VM runs on. QEMU on the other host ends.',
      initial: 'asking',
      entry: 'awaitTarget',
      always: { guard: 'nothingAwaited', target: 'removing' },
      on: { ...beingUndone, ...busy, 'incarnation.ended': { guard: 'isOfTarget', actions: 'noteAnswered' } },
      states: {
        asking: {
          description: 'The run there is told, and again after a while: its host may be off.',
          entry: 'askBack',
          after: { stopDeadline: { target: 'asking', reenter: true } },
        },
      },
    },
    removing: {
      description: 'What was prepared on the other host is removed.',
      initial: 'asking',
      entry: 'awaitUndone',
      always: { guard: 'nothingAwaited', target: 'rolledBack' },
      on: {
        ...beingUndone,
        ...busy,
        'port.stood-down': { actions: 'noteAnswered' },
        'volume.dropped': { actions: 'noteAnswered' },
        'volume.refused': { actions: 'noteAnswered' },
      },
      states: {
        asking: {
          description: 'Ports and volumes are told, and again after a while.',
          entry: 'askUndo',
          after: { clearDeadline: { target: 'asking', reenter: true } },
        },
      },
    },
    moved: {
      description: 'The VM is on its new host, and nothing is left on the former one.',
      type: 'final',
      entry: 'freeImages',
    },
    unbegun: {
      description: 'No host can take the VM, or the move was ended before one was found.',
      type: 'final',
      entry: ['releasePlace', 'tellEnded'],
    },
    rolledBack: {
      description: 'The VM is where it was, and nothing is left on the other host.',
      type: 'final',
      entry: ['freeImages', 'releasePlace'],
    },
  },
});
