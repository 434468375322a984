/** States in which a volume takes its bytes from a snapshot (volume-filling.ts): parts of volume-machine.ts. */
import { acceptedAtOnce, deletedBy, ready, whileDeclaring, whileLiving } from '../values/declared.ts';

/** A larger size is decided on; a smaller one is refused. */
export const sized = [
  { guard: 'isShrunk', actions: 'rejectShrunk' },
  { guard: 'isSizeBusy', actions: 'rejectSizeBusy' },
  { guard: 'isGrown', actions: ['beginGrowth', 'awaitUpdated'] },
  acceptedAtOnce,
] as const;

const undecided = {
  ...whileDeclaring('volume', { actions: 'rejectUndecided' }),
  'volume.delete': { actions: 'rejectUndecided' },
} as const;
/** Nobody uses the bytes that are being made: they are removed with the volume. */
const unfinished = {
  ...whileLiving('volume', ...sized),
  ...deletedBy('volume', { target: 'removing', actions: 'awaitAnswer' }),
  'volume.attach': { actions: 'refuseFilling' },
} as const;

/** Of a new volume. */
export const filledStates = {
  sourcing: {
    description: 'The snapshot that the volume is made from is asked for its copy, and to stay until it is copied.',
    entry: [ready('False', 'AskingSnapshot'), 'askSnapshot'],
    on: {
      ...undecided,
      'snapshot.provided': { guard: 'isOfSnapshot', target: 'reserving', actions: 'takeCopy' },
      'snapshot.refused': [
        { guard: 'isAskedAgain', target: 'sourceBackoff', actions: 'noteFailure' },
        { guard: 'isOfSnapshot', target: 'gone', actions: ['rejectSnapshot', 'noteFailure'] },
      ],
    },
    after: { snapshotDeadline: { target: 'sourcing', reenter: true } },
  },
  sourceBackoff: {
    description: 'The snapshot is not complete yet; it is asked again shortly.',
    entry: ready('False', 'AskingSnapshot'),
    on: undecided,
    after: { backoff: { target: 'sourcing' } },
  },
  filling: {
    description: 'The host copies all bytes of the snapshot into a file of the volume.',
    entry: [ready('False', 'Filling'), 'askReplica'],
    on: {
      ...unfinished,
      'replica.ready': {
        guard: 'isFilled',
        target: 'available',
        actions: ['freeSnapshot', 'endFilling', 'forgetFailure', 'observe'],
      },
      'replica.failed': [
        { guard: 'isUnfilledYet', target: 'fillBackoff', actions: 'noteFailure' },
        { guard: 'isUnfilled', target: 'failed', actions: ['noteFailure', 'freeSnapshot', 'endFilling'] },
      ],
    },
    after: { fillDeadline: { target: 'filling', reenter: true } },
  },
  fillBackoff: {
    description: 'Copying the snapshot failed for a reason that passes; it is tried again shortly.',
    entry: ready('False', 'Filling'),
    on: unfinished,
    after: { backoff: { target: 'filling' } },
  },
  failed: {
    description: 'The snapshot could not be copied; the failure says why. Delete the volume and create it again.',
    tags: 'steady',
    entry: ready('False', 'FillingFailed'),
    on: {
      ...unfinished,
      'volume.attach': { actions: 'refuseUnfilled' },
      'volume.restore': { actions: 'rejectUnfilled' },
    },
  },
} as const;

/** Of a volume whose bytes are replaced. The client waits for the end. */
export const restoringStates = {
  restoring: {
    description: 'Nobody holds the volume. Its bytes are replaced by those of a snapshot, all at once.',
    entry: ready('False', 'Restoring'),
    initial: 'asking',
    on: {
      ...whileLiving('volume', ...sized),
      ...deletedBy('volume', { actions: 'rejectUndecided' }),
      'volume.attach': { actions: 'refuseFilling' },
    },
    states: {
      asking: {
        description: 'The snapshot is asked for its copy, and to stay until it is copied.',
        entry: 'askSnapshot',
        on: {
          'snapshot.provided': [
            { guard: 'isOfSharedSnapshot', target: 'closing', actions: 'takeCopy' },
            { guard: 'isOfSnapshot', target: 'replacing', actions: 'takeCopy' },
          ],
          'snapshot.refused': {
            guard: 'isOfSnapshot',
            target: '#volume.available',
            actions: ['rejectSnapshot', 'freeSnapshot', 'endFilling'],
          },
        },
        after: { snapshotDeadline: { target: 'asking', reenter: true } },
      },
      closing: {
        description: 'The storage host cuts every run, so that none goes on with the former bytes.',
        entry: 'dropExport',
        on: { 'export.dropped': { target: 'replacing' } },
        after: { removeDeadline: { target: 'closing', reenter: true } },
      },
      replacing: {
        description: 'The host copies the bytes beside those of the volume, and then puts them in their place.',
        entry: 'askReplica',
        on: {
          'replica.ready': {
            guard: 'isFilled',
            target: '#volume.available',
            actions: ['freeSnapshot', 'endFilling', 'forgetFailure', 'observe', 'answerAll'],
          },
          'replica.failed': [
            { guard: 'isUnfilledYet', target: 'backoff', actions: 'noteFailure' },
            {
              guard: 'isUnfilled',
              target: '#volume.available',
              actions: ['rejectRestore', 'freeSnapshot', 'endFilling', 'forgetFailure'],
            },
          ],
        },
        after: { fillDeadline: { target: 'replacing', reenter: true } },
      },
      backoff: {
        description: 'Replacing the bytes failed for a reason that passes; it is tried again shortly.',
        after: { backoff: { target: 'replacing' } },
      },
    },
  },
} as const;
