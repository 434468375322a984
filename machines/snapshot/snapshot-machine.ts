/**
 * A snapshot: the bytes of a volume as they were at one moment. The volume says where they are and stays there; then
 * quota and room for the copy are claimed, and the host of the bytes makes it. Upholds: the volume is held only until
 * the copy is complete or given up; a snapshot that is ready does not need its volume any more.
 */
import { assign, setup } from 'xstate';
import { acceptedAtOnce, declaredKit, deletedBy, newDeclared, ready } from '../values/declared.ts';
import { whenBorn, whileDeclaring, whileDeleting, whileLiving } from '../values/declared.ts';
import { backoffMs } from '../values/failures.ts';
import { requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import * as messages from './snapshot-messages.ts';
import type { SnapshotContext } from './snapshot-messages.ts';
import { snapshotKind, type DeclaredSnapshot, type SnapshotEvent } from './snapshot-protocol.ts';

const kit = declaredKit<DeclaredSnapshot, SnapshotContext, SnapshotEvent>(snapshotKind, {});

/** The volume answers within seconds: a deletion before is repeated by the client. */
const undecided = {
  ...whileDeclaring('snapshot', { actions: 'rejectUndecided' }),
  'snapshot.delete': { actions: 'rejectUndecided' },
} as const;
const living = whileLiving('snapshot', acceptedAtOnce);
const deletable = deletedBy('snapshot', { target: 'removing', actions: 'awaitAnswer' });

/** What a volume does not allow now, and how often a copy fails, before the snapshot is given up. */
const mostTries = 6;

export const snapshotMachine = setup({
  types: {
    context: {} as SnapshotContext,
    events: {} as SnapshotEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...kit.actions,
    askVolume: tell(messages.askVolume),
    takeSource: assign(messages.takeSource),
    freeVolume: tell(messages.freeVolume),
    claimQuota: tell(messages.claimQuota),
    claimRoom: tell(messages.claimRoom),
    releaseRoom: tell(messages.releaseRoom),
    rejectVolume: act(messages.rejectVolume),
    askCopy: tell(messages.askCopy),
    takeProof: assign(messages.takeProof),
    dropCopy: tell(messages.dropCopy),
    provide: tell(messages.provide),
    addReader: assign(messages.addReader),
    dropReader: assign(messages.dropReader),
    refuseSmaller: tell(messages.refuseSmaller),
    refuseEarly: tell(messages.refuseEarly),
    refuseFailed: tell(messages.refuseFailed),
    refuseAbsent: tell(messages.refuseAbsent),
    rejectRead: tell(messages.rejectRead),
  },
  guards: {
    ...kit.guards,
    isSmaller: messages.isSmaller,
    isRead: messages.isRead,
    passes: ({ context, event }) => 'error' in event && event.error.retryable && context.tries < mostTries,
  },
  delays: {
    askDeadline: 10_000,
    quotaDeadline: 10_000,
    roomDeadline: 10_000,
    takeDeadline: 6 * 3_600_000,
    removeDeadline: 180_000,
    backoff: ({ context }) => backoffMs(context.tries),
  },
}).createMachine({
  id: 'snapshot',
  context: ({ input }) => ({ ...newDeclared(input.id), source: null, proof: null, readers: [] }),
  initial: 'born',
  on: {
    'snapshot.need': { actions: 'refuseEarly' },
    'snapshot.free': { actions: 'dropReader' },
  },
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: { ...whenBorn('snapshot', 'asking'), 'snapshot.need': { target: 'absent', actions: 'refuseAbsent' } },
    },
    asking: {
      description: 'The volume is asked where its bytes are, and to stay there.',
      entry: [ready('False', 'AskingVolume'), 'askVolume'],
      on: {
        ...undecided,
        'snapshot.begun': { target: 'claiming', actions: 'takeSource' },
        'snapshot.hindered': [
          { guard: 'passes', target: 'askBackoff', actions: 'noteFailure' },
          { target: 'gone', actions: ['rejectVolume', 'noteFailure'] },
        ],
      },
      after: { askDeadline: { target: 'asking', reenter: true } },
    },
    askBackoff: {
      description: 'The volume allows no snapshot now, for a reason that passes; it is asked again shortly.',
      entry: ready('False', 'VolumeBusy'),
      on: { ...undecided, 'snapshot.begun': { target: 'claiming', actions: 'takeSource' } },
      after: { backoff: { target: 'asking' } },
    },
    claiming: {
      description: 'The quota for one more snapshot, and for its size, is requested from the tenant.',
      entry: [ready('False', 'ClaimingQuota'), 'claimQuota'],
      on: {
        ...undecided,
        'quota.granted': { target: 'reserving' },
        'quota.refused': { target: 'gone', actions: ['rejectVolume', 'noteFailure'] },
      },
      after: { quotaDeadline: { target: 'claiming', reenter: true } },
    },
    reserving: {
      description: 'The cluster promises room for the copy on the host of the volume.',
      entry: [ready('False', 'ReservingRoom'), 'claimRoom'],
      on: {
        ...undecided,
        'room.granted': { target: 'taking', actions: 'answerAll' },
        'room.refused': { target: 'gone', actions: ['rejectVolume', 'noteFailure'] },
      },
      after: { roomDeadline: { target: 'reserving', reenter: true } },
    },
    taking: {
      description: 'The host copies the bytes of one moment.',
      entry: [ready('False', 'Taking'), 'askCopy'],
      on: {
        ...living,
        ...deletable,
        'capture.taken': { target: 'ready', actions: ['takeProof', 'observe', 'freeVolume'] },
        'capture.failed': [
          { guard: 'passes', target: 'takeBackoff', actions: 'noteFailure' },
          { target: 'failed', actions: ['noteFailure', 'freeVolume'] },
        ],
      },
      after: { takeDeadline: { target: 'taking', reenter: true } },
    },
    takeBackoff: {
      description: 'Copying failed for a reason that passes; it is tried again shortly, at a later moment.',
      entry: ready('False', 'Taking'),
      on: { ...living, ...deletable },
      after: { backoff: { target: 'taking' } },
    },
    ready: {
      description: 'The copy is complete. While its host is fenced, it waits for the host to return.',
      tags: 'steady',
      entry: ready('True', 'Taken'),
      on: {
        ...living,
        ...deletedBy(
          'snapshot',
          { guard: 'isRead', actions: 'rejectRead' },
          { target: 'removing', actions: 'awaitAnswer' },
        ),
        'snapshot.need': [{ guard: 'isSmaller', actions: 'refuseSmaller' }, { actions: ['addReader', 'provide'] }],
        'capture.failed': { actions: ['noteFailure', ready('False', 'BytesUnavailable')] },
        'capture.taken': { actions: ['forgetFailure', ready('True', 'Taken')] },
      },
    },
    failed: {
      description: 'There is no copy; the failure says why. Delete the snapshot and take another one.',
      tags: 'steady',
      entry: ready('False', 'TakingFailed'),
      on: { ...living, ...deletable, 'snapshot.need': { actions: 'refuseFailed' } },
    },
    removing: {
      description: 'The host removes the copy.',
      entry: [ready('False', 'Deleting'), 'dropCopy'],
      on: {
        ...whileDeleting('snapshot'),
        'snapshot.need': { actions: 'refuseAbsent' },
        'capture.dropped': { target: 'gone' },
      },
      after: { removeDeadline: { target: 'removing', reenter: true } },
    },
    absent: {
      description: 'There is no such snapshot; the requesting volume was answered with a refusal.',
      type: 'final',
    },
    gone: {
      description: 'Deleted, or refused before anything was copied; quota, room and volume are released.',
      type: 'final',
      entry: ['freeVolume', 'releaseRoom', 'releaseQuota', 'answerAll'],
    },
  },
});
