/**
 * An image: bytes identified by their digest, imported once and copied between hosts by that digest. It serves its
 * holders (VMs for direct boot, volumes for their first bytes) and cannot be deleted while one holds it. The
 * declaration is answered once the header of the file has been inspected, and realized once the digest is known.
 */
import { assign, setup } from 'xstate';
import { acceptedAtOnce, declaredKit, deletedBy, newDeclared, ready } from '../values/declared.ts';
import { whenBorn, whileDeclaring, whileDeleting, whileLiving } from '../values/declared.ts';
import { requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import * as messages from './image-messages.ts';
import type { ImageContext } from './image-messages.ts';
import { imageKind, type ImageEvent, type ImageSpec } from './image-protocol.ts';

const kit = declaredKit<ImageSpec, ImageContext, ImageEvent>(imageKind, {});

const declaring = whileDeclaring('image', { actions: ['takeSpec', 'awaitAnswer'] });
/** Tenant and cluster answer at once: a deletion before their answers is repeated by the client. */
const undecided = { 'image.delete': { actions: 'rejectUndecided' } } as const;
const removed = { target: 'removing', actions: 'awaitAnswer' } as const;

export const imageMachine = setup({
  types: { context: {} as ImageContext, events: {} as ImageEvent, input: {} as { id: string }, tags: {} as 'steady' },
  actions: {
    ...requests,
    ...kit.actions,
    askPlace: tell(messages.askPlace),
    takeHome: assign(messages.takeHome),
    askImport: tell(messages.askImport),
    noteImport: assign(messages.noteImport),
    noteProgress: assign(messages.noteProgress),
    takeProof: assign(messages.takeProof),
    rejectImport: act(messages.rejectImport),
    refuseAbsent: tell(messages.refuseAbsent),
    refuseEarly: tell(messages.refuseEarly),
    hold: act(messages.hold),
    letGo: act(messages.letGo),
    settleWaiting: act(messages.settleWaiting),
    loseCopy: assign(messages.loseCopy),
    dropCopies: tell(messages.dropCopies),
    forgetCopy: assign(messages.forgetCopy),
    rejectInUse: tell(messages.inUse),
  },
  guards: {
    ...kit.guards,
    isHeld: ({ context }) => context.holderCount > 0,
    noCopies: ({ context }) => Object.keys(context.copies).length === 0,
  },
  delays: {
    quotaDeadline: 10_000,
    placeDeadline: 10_000,
    inspectDeadline: 60_000,
    importDeadline: 1_800_000,
    removeDeadline: 60_000,
  },
}).createMachine({
  id: 'image',
  context: ({ input }) => ({
    ...newDeclared(input.id),
    home: null,
    progress: null,
    proof: null,
    copies: {},
    waiting: [],
    holderCount: 0,
  }),
  initial: 'born',
  on: {
    'image.need': { actions: 'refuseEarly' },
    'image.free': { actions: 'letGo' },
  },
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: { ...whenBorn('image', 'claiming'), 'image.need': { target: 'absent', actions: 'refuseAbsent' } },
    },
    claiming: {
      description: 'The quota for one more image is requested from the tenant.',
      entry: [ready('False', 'ClaimingQuota'), 'claimQuota'],
      on: {
        ...declaring,
        ...undecided,
        'quota.granted': { target: 'placing' },
        'quota.refused': { target: 'refused', actions: ['rejectAll', 'noteFailure'] },
      },
      after: { quotaDeadline: { target: 'claiming', reenter: true } },
    },
    placing: {
      description: 'The cluster chooses a host: one whose allowed roots contain the path, or one with room.',
      entry: [ready('False', 'Placing'), 'askPlace'],
      on: {
        ...declaring,
        ...undecided,
        'import.placed': { target: 'inspecting', actions: 'takeHome' },
        'import.refused': { target: 'gone', actions: ['rejectImport', 'noteFailure'] },
      },
      after: { placeDeadline: { target: 'placing', reenter: true } },
    },
    inspecting: {
      description: 'The host opens the source and checks the header before it keeps anything.',
      entry: [ready('False', 'Inspecting'), 'askImport'],
      on: {
        ...declaring,
        ...deletedBy('image', { target: 'removing', actions: ['rejectDeleted', 'noteImport', 'awaitAnswer'] }),
        'copy.inspected': { target: 'importing', actions: 'answerAll' },
        'copy.progress': { target: 'importing', actions: ['answerAll', 'noteProgress'] },
        'copy.ready': { target: 'ready', actions: ['answerAll', 'takeProof', 'observe'] },
        'copy.rejected': { target: 'gone', actions: ['rejectImport', 'noteFailure'] },
      },
      after: { inspectDeadline: { target: 'inspecting', reenter: true } },
    },
    importing: {
      description: 'The host takes the bytes from the file, the address or the client, and computes their digest.',
      entry: ready('False', 'Importing'),
      on: {
        ...whileLiving('image', { actions: ['takeSpec', 'answerUpdated'] }),
        ...deletedBy('image', { target: 'removing', actions: ['noteImport', 'awaitAnswer'] }),
        'copy.ready': { target: 'ready', actions: ['takeProof', 'observe'] },
        'copy.rejected': { target: 'rejected', actions: 'noteFailure' },
        'copy.inspected': {},
        'copy.progress': { actions: 'noteProgress' },
      },
      // The request is repeated without a new answer to the client; a rejected image now stays in `failed` to show why.
      after: { importDeadline: { target: 'importing', reenter: true, actions: 'askImport' } },
    },
    ready: {
      description: 'The digest is known, and the bytes can be copied to any host.',
      tags: 'steady',
      entry: ready('True', 'Imported'),
      on: {
        ...whileLiving('image', acceptedAtOnce),
        ...deletedBy('image', { guard: 'isHeld', actions: 'rejectInUse' }, removed),
        'image.need': { actions: 'hold' },
        'copy.ready': { actions: 'settleWaiting' },
        'copy.rejected': { actions: ['noteFailure', 'settleWaiting'] },
        'copy.lost': { actions: 'loseCopy' },
      },
    },
    rejected: {
      description:
        'The file does not match its declaration; the failure says how. Nothing of it was kept. Delete the image.',
      tags: 'steady',
      entry: ready('False', 'Rejected'),
      on: {
        ...whileLiving('image', { actions: ['takeSpec', 'answerUpdated'] }),
        ...deletedBy('image', removed),
      },
    },
    removing: {
      description: 'The hosts remove their copies.',
      entry: [ready('False', 'Deleting'), 'dropCopies'],
      always: { guard: 'noCopies', target: 'gone' },
      on: {
        ...whileDeleting('image'),
        'copy.removed': { actions: 'forgetCopy' },
        'copy.rejected': { actions: 'forgetCopy' },
      },
      after: { removeDeadline: { target: 'removing', reenter: true } },
    },
    refused: {
      description: 'Refused: the quota of the tenant is exhausted.',
      type: 'final',
      entry: ready('False', 'Refused'),
    },
    absent: {
      description: 'There is no such image; the requester was answered with a refusal.',
      type: 'final',
    },
    gone: {
      description: 'Deleted, or refused before anything was created; its quota is released.',
      type: 'final',
      entry: ['releaseQuota', 'answerAll'],
    },
  },
});
