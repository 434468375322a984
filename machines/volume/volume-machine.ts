/**
 * A volume: a disk that is kept across restarts and deletions of the VMs that use it. The actor knows the host of the
 * bytes and which VM may write; replicas manage the bytes. The declaration is realized once the tenant has granted the
 * quota and the cluster has promised room; bytes are created for the first VM that attaches the volume, on the host of
 * that VM.
 */
import { assign, setup } from 'xstate';
import { acceptedAtOnce, declaredKit, deletedBy, newDeclared, ready } from '../values/declared.ts';
import { whenBorn, whileDeclaring, whileDeleting, whileLiving } from '../values/declared.ts';
import { requests } from '../values/requests.ts';
import { serialOf } from '../values/serials.ts';
import { act, tell } from '../values/telling.ts';
import * as messages from './volume-messages.ts';
import type { VolumeContext } from './volume-messages.ts';
import { volumeKind, type VolumeEvent, type VolumeSpec } from './volume-protocol.ts';

const kit = declaredKit<VolumeSpec, VolumeContext, VolumeEvent>(volumeKind, {
  result: ({ uid }) => ({ serial: serialOf(uid) }),
});

const lost = { actions: ['noteFailure', ready('False', 'BytesUnavailable')] } as const;

export const volumeMachine = setup({
  types: { context: {} as VolumeContext, events: {} as VolumeEvent, input: {} as { id: string }, tags: {} as 'steady' },
  actions: {
    ...requests,
    ...kit.actions,
    claimQuota: tell(messages.claimQuota),
    claimRoom: tell(messages.claimRoom),
    releaseRoom: tell(messages.releaseRoom),
    rejectRoom: act(messages.rejectRoom),
    askImage: tell(messages.askImage),
    takeSource: assign(messages.takeSource),
    noteNoDisk: assign(messages.noteNoDisk),
    forgetHost: assign(messages.forgetHost),
    freeSource: tell(messages.freeSource),
    askReplica: tell(messages.askReplica),
    dropReplica: tell(messages.dropReplica),
    hold: assign(messages.hold),
    letGo: assign(messages.letGo),
    tellLocation: tell(messages.tellLocation),
    tellAttached: tell(messages.tellAttached),
    tellRefused: tell(messages.tellRefused),
    refuseHeld: tell(messages.refuseHeld),
    refuseDeleting: tell(messages.refuseDeleting),
    refuseElsewhere: tell(messages.refuseElsewhere),
    refuseAbsent: tell(messages.refuseAbsent),
    rejectInUse: tell(messages.inUse),
  },
  guards: {
    ...kit.guards,
    needsImage: messages.needsImage,
    isHere: messages.isHere,
    isDiskHere: (at) => messages.isHere(at) && messages.isDisk(at),
    isByAnother: messages.isByAnother,
    isElsewhere: messages.isElsewhere,
    holderLeaves: messages.holderLeaves,
    isPlaced: ({ context }) => context.host !== null,
  },
  delays: {
    quotaDeadline: 10_000,
    roomDeadline: 10_000,
    imageDeadline: 600_000,
    replicaDeadline: 600_000,
    removeDeadline: 60_000,
  },
}).createMachine({
  id: 'volume',
  context: ({ input }) => ({ ...newDeclared(input.id), host: null, holder: null, runEpoch: 0, source: null }),
  initial: 'born',
  on: { 'volume.locate': { actions: 'tellLocation' } },
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: {
        ...whenBorn('volume', 'claiming'),
        'volume.locate': { target: 'absent', actions: 'refuseAbsent' },
        'volume.attach': { target: 'absent', actions: 'refuseAbsent' },
      },
    },
    claiming: {
      description: 'The quota for one more volume is requested from the tenant.',
      entry: [ready('False', 'ClaimingQuota'), 'claimQuota'],
      on: {
        ...whileDeclaring('volume', { actions: ['takeSpec', 'awaitAnswer'] }),
        'volume.delete': { actions: 'rejectUndecided' },
        'quota.granted': { target: 'reserving' },
        'quota.refused': { target: 'refused', actions: ['rejectAll', 'noteFailure'] },
      },
      after: { quotaDeadline: { target: 'claiming', reenter: true } },
    },
    reserving: {
      description: 'The cluster promises room for the bytes, if a host has so much that is not promised to others.',
      entry: [ready('False', 'ReservingRoom'), 'claimRoom'],
      on: {
        ...whileDeclaring('volume', { actions: ['takeSpec', 'awaitAnswer'] }),
        'volume.delete': { actions: 'rejectUndecided' },
        'room.granted': { target: 'available', actions: ['observe', 'answerAll'] },
        'room.refused': { target: 'gone', actions: ['rejectRoom', 'noteFailure'] },
      },
      after: { roomDeadline: { target: 'reserving', reenter: true } },
    },
    available: {
      description:
        'No VM holds the volume. Its bytes, if it has any, are on one host; the failure shows whether that is fenced.',
      tags: 'steady',
      entry: { type: 'setCondition', params: messages.readiness },
      on: {
        ...whileLiving('volume', acceptedAtOnce),
        ...deletedBy(
          'volume',
          { guard: 'isPlaced', target: 'removing', actions: 'awaitAnswer' },
          { target: 'gone', actions: 'awaitAnswer' },
        ),
        'replica.failed': lost,
        'volume.attach': [
          { guard: 'isElsewhere', actions: 'refuseElsewhere' },
          { guard: 'needsImage', target: 'held.imaging', actions: 'hold' },
          { target: 'held.attaching', actions: 'hold' },
        ],
      },
    },
    held: {
      description: 'One VM holds the volume; no other VM can attach it.',
      entry: ready('False', 'Attaching'),
      initial: 'attaching',
      on: {
        ...whileLiving('volume', acceptedAtOnce),
        ...deletedBy('volume', { actions: 'rejectInUse' }),
        'volume.attach': [
          { guard: 'isByAnother', actions: 'refuseHeld' },
          { guard: 'isElsewhere', actions: 'refuseElsewhere' },
          { guard: 'needsImage', target: '.imaging', actions: 'hold', reenter: true },
          { target: '.attaching', actions: 'hold', reenter: true },
        ],
        'volume.detach': { guard: 'holderLeaves', target: 'available', actions: 'letGo' },
      },
      states: {
        imaging: {
          description: 'The image for the first bytes is requested on the host.',
          entry: 'askImage',
          on: {
            'image.provided': [
              { guard: 'isDiskHere', target: 'attaching', actions: 'takeSource' },
              { guard: 'isHere', target: 'stuck', actions: ['noteNoDisk', 'forgetHost'] },
            ],
            'image.refused': { target: 'stuck', actions: ['noteFailure', 'forgetHost'] },
          },
          after: { imageDeadline: { target: 'imaging', reenter: true } },
        },
        attaching: {
          description: 'The host creates the bytes, or verifies that they exist.',
          entry: 'askReplica',
          on: {
            'replica.ready': { target: 'attached' },
            'replica.failed': { target: 'stuck', actions: 'noteFailure' },
          },
          after: { replicaDeadline: { target: 'attaching', reenter: true } },
        },
        attached: {
          description: 'The holder can use the volume, unless a failure shows that the host is fenced.',
          tags: 'steady',
          entry: [ready('True', 'Attached'), 'tellAttached'],
          on: { 'replica.failed': lost },
        },
        stuck: {
          description: 'Its bytes cannot be created; the failure says why. The holder detaches or attaches again.',
          tags: 'steady',
          entry: [ready('False', 'BytesUnavailable'), 'tellRefused'],
        },
      },
    },
    removing: {
      description: 'The host removes the bytes.',
      entry: [ready('False', 'Deleting'), 'dropReplica'],
      on: {
        ...whileDeleting('volume'),
        'replica.removed': { target: 'gone' },
        'volume.attach': { actions: 'refuseDeleting' },
      },
      after: { removeDeadline: { target: 'removing', reenter: true } },
    },
    refused: {
      description: 'Refused: the quota of the tenant is exhausted.',
      type: 'final',
      entry: ready('False', 'Refused'),
    },
    absent: {
      description: 'There is no such volume; the requesting VM was answered with a refusal.',
      type: 'final',
    },
    gone: {
      description: 'Deleted, or refused because no host has room; its quota and its room are released.',
      type: 'final',
      entry: ['freeSource', 'releaseRoom', 'releaseQuota', 'answerAll'],
    },
  },
});
