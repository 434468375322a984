/**
 * A volume: a disk that is kept across restarts and deletions of the VMs that use it. The actor knows the host of the
 * bytes and which VM may write; replicas manage the bytes. A VM that is moved takes it along (volume-standby.ts). The
 * declaration is realized once the tenant has granted the quota and the cluster has promised room; bytes are created
 * for the first VM that attaches the volume, on the host of that VM.
 */
import { assign, setup } from 'xstate';
import { declaredKit, deletedBy, newDeclared, ready } from '../values/declared.ts';
import { whenBorn, whileDeclaring, whileDeleting, whileLiving } from '../values/declared.ts';
import { backoffMs } from '../values/failures.ts';
import { requests } from '../values/requests.ts';
import { serialOf } from '../values/serials.ts';
import { act, tell } from '../values/telling.ts';
import * as messages from './volume-messages.ts';
import { awayActions, awayGuards } from './volume-away.ts';
import { beginCapture, captureActions, captureGuards, endCapture } from './volume-capture.ts';
import { isShared, problemsOf, type VolumeContext } from './volume-context.ts';
import { filledStates, restoringStates, sized } from './volume-filling-states.ts';
import { beginFilling, beginRestore, endFilling, fillingActions, fillingGuards, takeCopy } from './volume-filling.ts';
import { endResizing, forgetGrowth, forgetResizing, growthActions, growthGuards, takeGrowth } from './volume-growth.ts';
import { volumeKind, type VolumeEvent, type VolumeSpec } from './volume-protocol.ts';
import { standbyActions, standbyGuards } from './volume-standby.ts';

const kit = declaredKit<VolumeSpec, VolumeContext, VolumeEvent>(volumeKind, {
  result: ({ uid }) => ({ serial: serialOf(uid) }),
  problems: problemsOf,
});

/** Of the second host; what is left on one is removed in any state. */
const ofStandby = { guard: 'isOfStandby', actions: 'heedStandby' } as const;
const lost = [ofStandby, { guard: 'isOfHost', actions: ['noteFailure', ready('False', 'BytesUnavailable')] }] as const;
const whileGrowing = {
  'quota.granted': { guard: 'isGrowing', actions: 'claimMoreRoom' },
  'quota.refused': { guard: 'isGrowing', actions: ['forgetGrowth', 'rejectAll'] },
  'room.granted': { guard: 'isGrowing', actions: ['takeGrowth', 'observe', 'growBytes', 'answerAll'] },
  'room.refused': { guard: 'isGrowing', actions: ['giveUpGrowth', 'rejectRoom'] },
} as const;
/** The bytes are where they stay; a snapshot can be taken. */
const captured = [
  { guard: 'mayCapture', actions: ['beginCapture', 'tellBegun'] },
  { guard: 'isEmpty', actions: 'hinderEmpty' },
  { actions: 'hinderBusy' },
] as const;
/** No migration can begin. */
const unmovable = { actions: 'refuseStandby' } as const;

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
    takeHost: assign(messages.takeHost),
    takeAccess: assign(messages.takeAccess),
    noteRestarted: assign(messages.noteRestarted),
    askExport: tell(messages.askExport),
    dropExport: tell(messages.dropExport),
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
    ...standbyActions,
    ...growthActions,
    takeGrowth: assign(takeGrowth),
    forgetGrowth: assign(forgetGrowth),
    endResizing: assign(endResizing),
    forgetResizing: assign(forgetResizing),
    ...captureActions,
    ...awayActions,
    noteServed: assign({ failure: null }),
    beginCapture: assign(beginCapture),
    endCapture: assign(endCapture),
    ...fillingActions,
    beginFilling: assign(beginFilling),
    beginRestore: assign(beginRestore),
    takeCopy: assign(takeCopy),
    endFilling: assign(endFilling),
  },
  guards: {
    ...kit.guards,
    needsImage: messages.needsImage,
    isHere: messages.isHere,
    isDiskHere: (at) => messages.isHere(at) && messages.isDisk(at),
    isByAnother: messages.isByAnother,
    isElsewhere: messages.isElsewhere,
    hasRoom: messages.hasRoom,
    isServed: messages.isServed,
    isUnserved: messages.isUnserved,
    isOtherAccess: messages.isOtherAccess,
    isShared: ({ context }) => isShared(context),
    holderLeaves: messages.holderLeaves,
    isOfHost: messages.isOfHost,
    isOpenable: (at) => messages.isOfHost(at) && isShared(at.context),
    isPlaced: ({ context }) => context.host !== null,
    ...standbyGuards,
    ...growthGuards,
    ...captureGuards,
    ...awayGuards,
    ...fillingGuards,
    hasRoomToFill: (at) => messages.hasRoom(at) && at.context.filling !== null,
  },
  delays: {
    snapshotDeadline: 10_000,
    fillDeadline: 3_600_000,
    backoff: ({ context }) => backoffMs(context.tries),
    quotaDeadline: 10_000,
    roomDeadline: 10_000,
    imageDeadline: 600_000,
    replicaDeadline: 600_000,
    exportDeadline: 120_000,
    removeDeadline: 60_000,
  },
}).createMachine({
  id: 'volume',
  context: ({ input }) => ({
    ...newDeclared(input.id),
    host: null,
    holder: null,
    client: null,
    runEpoch: 0,
    access: null,
    source: null,
    standby: null,
    growth: null,
    resizing: null,
    captures: [],
    filling: null,
  }),
  initial: 'born',
  on: {
    'volume.locate': [{ guard: 'isUnsourced', actions: 'refuseFilling' }, { actions: 'tellLocation' }],
    'volume.standby': unmovable,
    'volume.activate': { actions: 'refuseActivation' },
    'volume.drop-standby': { actions: 'dropStandby' },
    'replica.ready': ofStandby,
    'replica.failed': ofStandby,
    'replica.removed': ofStandby,
    'export.serving': ofStandby,
    'export.failed': ofStandby,
    'volume.host-lost': { guard: 'isItsHost', actions: 'noteAway' },
    'volume.host-found': { guard: 'isItsHost', actions: 'noteBack' },
    'snapshot.begin': { actions: 'hinderBusy' },
    'snapshot.ended': { actions: 'endCapture' },
    'volume.restore': { actions: 'rejectUndecided' },
    'incarnation.resized': { guard: 'isResized', actions: 'endResizing' },
  },
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: {
        ...whenBorn('volume', 'claiming'),
        'volume.locate': { target: 'absent', actions: 'refuseAbsent' },
        'volume.attach': { target: 'absent', actions: 'refuseAbsent' },
        'snapshot.begin': { target: 'absent', actions: 'hinderAbsent' },
      },
    },
    claiming: {
      description: 'The quota for one more volume is requested from the tenant.',
      entry: [ready('False', 'ClaimingQuota'), 'claimQuota'],
      on: {
        ...whileDeclaring('volume', { actions: 'rejectUndecided' }),
        'volume.delete': { actions: 'rejectUndecided' },
        'quota.granted': [
          { guard: 'isFromSnapshot', target: 'sourcing', actions: 'beginFilling' },
          { target: 'reserving' },
        ],
        'quota.refused': { target: 'refused', actions: ['rejectAll', 'noteFailure'] },
      },
      after: { quotaDeadline: { target: 'claiming', reenter: true } },
    },
    reserving: {
      description: 'The cluster promises room for the bytes, if a host has so much that is not promised to others.',
      entry: [ready('False', 'ReservingRoom'), 'claimRoom'],
      on: {
        ...whileDeclaring('volume', { actions: 'rejectUndecided' }),
        'volume.delete': { actions: 'rejectUndecided' },
        'room.granted': [
          { guard: 'hasRoomToFill', target: 'filling', actions: ['takeHost', 'answerAll'] },
          { guard: 'hasRoom', target: 'available', actions: ['takeHost', 'observe', 'answerAll'] },
        ],
        'room.refused': { target: 'gone', actions: ['rejectRoom', 'noteFailure'] },
      },
      after: { roomDeadline: { target: 'reserving', reenter: true } },
    },
    ...filledStates,
    available: {
      description:
        'No VM holds the volume. Its bytes, if it has any, are on one host; the failure shows whether that is fenced.',
      tags: 'steady',
      entry: { type: 'setCondition', params: messages.readiness },
      on: {
        ...whileLiving('volume', ...sized),
        ...whileGrowing,
        ...deletedBy(
          'volume',
          { guard: 'isGrowing', actions: 'rejectUndecided' },
          { guard: 'isCaptured', actions: 'rejectCaptured' },
          { guard: 'isShared', target: 'closing', actions: 'awaitAnswer' },
          { guard: 'isPlaced', target: 'removing', actions: 'awaitAnswer' },
          { target: 'gone', actions: 'awaitAnswer' },
        ),
        'replica.failed': lost,
        'snapshot.begin': captured,
        'volume.restore': [
          { guard: 'isGrowing', actions: 'rejectUndecided' },
          { guard: 'isCaptured', actions: 'rejectCaptured' },
          { guard: 'isEmpty', actions: 'rejectEmpty' },
          { target: 'restoring', actions: ['beginRestore', 'awaitUpdated'] },
        ],
        'volume.attach': [
          { guard: 'isElsewhere', actions: 'refuseElsewhere' },
          { guard: 'needsImage', target: 'held.imaging', actions: 'hold' },
          { target: 'held.attaching', actions: 'hold' },
        ],
      },
    },
    held: {
      description: 'One VM holds the volume; no other VM can attach it.',
      entry: [ready('False', 'Attaching'), 'tellAway'],
      initial: 'attaching',
      on: {
        ...whileLiving('volume', ...sized),
        ...whileGrowing,
        ...deletedBy('volume', { actions: 'rejectInUse' }),
        'volume.restore': { actions: 'rejectInUse' },
        'volume.attach': [
          { guard: 'isByAnother', actions: 'refuseHeld' },
          { guard: 'isElsewhere', actions: 'refuseElsewhere' },
          {
            guard: 'needsImage',
            target: '.imaging',
            actions: ['hold', 'forgetResizing', 'dropStandby'],
            reenter: true,
          },
          { target: '.attaching', actions: ['hold', 'forgetResizing', 'dropStandby'], reenter: true },
        ],
        'volume.detach': [
          { guard: 'holderLeavesMoved', target: 'available', actions: ['activate', 'letGo', 'forgetResizing'] },
          {
            guard: 'holderLeaves',
            target: 'available',
            actions: ['dropStandby', 'letGo', 'forgetResizing', 'dropExport'],
          },
        ],
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
            'replica.ready': [
              ofStandby,
              { guard: 'isOpenable', target: 'opening' },
              { guard: 'isOfHost', target: 'attached' },
            ],
            'replica.failed': [ofStandby, { guard: 'isOfHost', target: 'stuck', actions: 'noteFailure' }],
          },
          after: { replicaDeadline: { target: 'attaching', reenter: true } },
        },
        opening: {
          description: 'The storage host cuts every earlier run, and lets that of the holder use the bytes.',
          entry: 'askExport',
          on: {
            'export.serving': { guard: 'isServed', target: 'attached', actions: 'takeAccess' },
            'export.failed': { guard: 'isUnserved', target: 'stuck', actions: 'noteFailure' },
          },
          after: { exportDeadline: { target: 'opening', reenter: true } },
        },
        attached: {
          description: 'The holder can use the volume, unless a failure shows that the host is fenced.',
          tags: 'steady',
          entry: [ready('True', 'Attached'), 'tellAttached'],
          on: {
            'replica.ready': [ofStandby, { guard: 'isOpenable', actions: 'serveGrown' }],
            'replica.failed': lost,
            'snapshot.begin': captured,
            'export.serving': [
              ofStandby,
              { guard: 'isOtherAccess', actions: ['noteRestarted', ready('False', 'BytesUnavailable')] },
              { guard: 'isServed', actions: ['noteServed', ready('True', 'Attached'), 'tellGrown'] },
            ],
            'volume.host-found': { guard: 'isItsHost', actions: ['noteBack', 'askExportAgain'] },
            'export.failed': [
              ofStandby,
              { guard: 'isUnserved', actions: ['noteFailure', ready('False', 'BytesUnavailable')] },
            ],
            'volume.standby': [
              { guard: 'isStanding', actions: 'tellStood' },
              { guard: 'mayStandBy', actions: 'prepareStandby' },
              unmovable,
            ],
            'volume.attach': { guard: 'isCommitted', target: 'attaching', actions: ['activate', 'hold', 'tellAway'] },
            'volume.activate': [
              { guard: 'mayActivate', actions: 'activate' },
              { guard: 'isCutting', actions: 'askCut' },
              { guard: 'isActive', actions: 'tellActivated' },
              { actions: 'refuseActivation' },
            ],
          },
        },
        stuck: {
          description: 'Its bytes cannot be created; the failure says why. The holder detaches or attaches again.',
          tags: 'steady',
          entry: [ready('False', 'BytesUnavailable'), 'tellRefused'],
        },
      },
    },
    ...restoringStates,
    closing: {
      description: 'The storage host cuts every run.',
      entry: [ready('False', 'Deleting'), 'dropExport'],
      on: {
        ...whileDeleting('volume'),
        'export.dropped': { target: 'removing' },
        'volume.attach': { actions: 'refuseDeleting' },
      },
      after: { removeDeadline: { target: 'closing', reenter: true } },
    },
    removing: {
      description: 'The host removes the bytes.',
      entry: [ready('False', 'Deleting'), 'dropReplica'],
      on: {
        ...whileDeleting('volume'),
        'replica.removed': [ofStandby, { guard: 'isOfHost', target: 'gone' }],
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
      entry: ['freeSource', 'freeSnapshot', 'releaseRoom', 'releaseQuota', 'answerAll'],
    },
  },
});
