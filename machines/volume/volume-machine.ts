/**
 * A volume: a disk with an identity of its own, kept across restarts and deletions of the VMs that use it. It knows
 * where its bytes are and who may write; the bytes themselves are its replica's business. The declaration is realized
 * once the tenant has granted it: bytes are made for the first VM that attaches it, on the host of that VM.
 */
import { assign, setup } from 'xstate';
import { acceptedAtOnce, declaredKit, deletedBy, newDeclared, ready } from '../values/declared.ts';
import { whenBorn, whileDeclaring, whileDeleting, whileLiving } from '../values/declared.ts';
import { requests } from '../values/requests.ts';
import { serialOf } from '../values/serials.ts';
import { tell } from '../values/telling.ts';
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
  delays: { quotaDeadline: 10_000, imageDeadline: 600_000, replicaDeadline: 600_000, removeDeadline: 60_000 },
}).createMachine({
  id: 'volume',
  context: ({ input }) => ({ ...newDeclared(input.id), host: null, holder: null, runEpoch: 0, source: null }),
  initial: 'born',
  on: { 'volume.locate': { actions: 'tellLocation' } },
  states: {
    born: {
      description: 'Exists only within the step that creates it.',
      tags: 'steady',
      on: {
        ...whenBorn('volume', 'claiming'),
        'volume.locate': { target: 'absent', actions: 'refuseAbsent' },
        'volume.attach': { target: 'absent', actions: 'refuseAbsent' },
      },
    },
    claiming: {
      description: 'The tenant is asked whether its quota allows one more volume.',
      entry: [ready('False', 'ClaimingQuota'), 'claimQuota'],
      on: {
        ...whileDeclaring('volume', { actions: ['takeSpec', 'awaitAnswer'] }),
        'volume.delete': { actions: 'rejectUndecided' },
        'quota.granted': { target: 'available', actions: ['observe', 'answerAll'] },
        'quota.refused': { target: 'refused', actions: 'rejectAll' },
      },
      after: { quotaDeadline: { target: 'claiming', reenter: true } },
    },
    available: {
      description:
        'No VM holds it. Its bytes, if it was ever attached, rest on one host; the failure says if that is gone.',
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
      description: 'A VM holds it; nobody else may.',
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
          description: 'The image is brought to the host, as a source for the first bytes.',
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
          description: 'The host makes sure the bytes are there.',
          entry: 'askReplica',
          on: {
            'replica.ready': { target: 'attached' },
            'replica.failed': { target: 'stuck', actions: 'noteFailure' },
          },
          after: { replicaDeadline: { target: 'attaching', reenter: true } },
        },
        attached: {
          description: 'The holder may run on it, unless the failure says that the host is gone.',
          tags: 'steady',
          entry: [ready('True', 'Attached'), 'tellAttached'],
          on: { 'replica.failed': lost },
        },
        stuck: {
          description: 'Its bytes cannot be made; the failure says why. The holder lets go or asks again.',
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
      description: 'Never came to be: the quota does not allow it.',
      type: 'final',
    },
    absent: {
      description: 'Never made, or gone: a VM that still names it has been told so.',
      type: 'final',
    },
    gone: {
      description: 'Deleted; its quota is given back.',
      type: 'final',
      entry: ['freeSource', 'releaseQuota', 'answerAll'],
    },
  },
});
