/**
 * A volume: a disk with an identity of its own, kept across restarts and deletions of the VMs that use it.
 * It knows where its bytes are and who may write; the bytes themselves are its replica's business.
 */
import { assertEvent, assign, enqueueActions, setup } from 'xstate';
import { differences, failureOf, sameJson } from '../values/failures.ts';
import { requests } from '../values/requests.ts';
import { serialOf } from '../values/serials.ts';
import * as messages from './volume-context.ts';
import type { VolumeContext } from './volume-context.ts';
import type { VolumeEvent, VolumeSpec } from './volume-events.ts';

interface Seen {
  readonly context: VolumeContext;
  readonly event: VolumeEvent;
}

function specOf(event: VolumeEvent): VolumeSpec {
  assertEvent(event, 'volume.create');
  return { sizeMib: event.sizeMib, format: event.format, image: event.image };
}

const refuseHeld = ({ context, event }: Seen): messages.OutgoingMessage => {
  assertEvent(event, 'volume.attach');
  const isGoing = context.holder === null;
  const message = isGoing
    ? `${context.id} is being deleted; use another volume, or make it again once it is gone`
    : `${context.id} is attached to ${context.holder}; stop or delete that VM first`;
  return {
    to: event.vm,
    event: { type: 'volume.refused', volume: context.id, error: { code: 'volume_in_use', message, retryable: true } },
  };
};
const refuseElsewhere = ({ context, event }: Seen): messages.OutgoingMessage => {
  assertEvent(event, 'volume.attach');
  const message = `${context.id} has its bytes on host ${context.host?.name}, the VM was placed on ${event.host.name}`;
  return {
    to: event.vm,
    event: {
      type: 'volume.refused',
      volume: context.id,
      error: { code: 'volume_elsewhere', message, retryable: false },
    },
  };
};
/** Of a volume that is not there: nobody would ever answer otherwise. */
const refuseAbsent = ({ context, event }: Seen): messages.OutgoingMessage => {
  assertEvent(event, ['volume.locate', 'volume.attach']);
  const message = `there is no ${context.id}; create it, or delete the VM that names it`;
  return {
    to: event.vm,
    event: {
      type: 'volume.refused',
      volume: context.id,
      error: { code: 'volume_not_found', message, retryable: false },
    },
  };
};
const tellLocation = ({ context, event }: Seen): messages.OutgoingMessage => {
  assertEvent(event, 'volume.locate');
  return { to: event.vm, event: { type: 'volume.located', volume: context.id, host: context.host?.name ?? null } };
};
const differs = ({ context, event }: Seen) => ({
  code: 'exists_differently',
  message: `${context.id} exists with another spec; delete it first, or give the new one another name`,
  issues: differences(context.spec ?? {}, specOf(event)).map((issue) => ({ ...issue, path: `spec.${issue.path}` })),
});
const inUse = ({ context }: Seen) => ({
  code: 'in_use',
  message: `${context.id} is attached to ${context.holder}; delete or stop that VM first`,
});
const nameBusy = ({ context }: Seen) => ({
  code: 'name_busy',
  message: `${context.id} is being made or deleted; try again shortly`,
});
const created = ({ context }: Seen) => ({
  commandId: context.createCommand ?? '',
  result: { uid: context.uid, serial: context.serial },
});
const refused = ({ context, event }: Seen) => {
  assertEvent(event, 'quota.refused');
  return { commandId: context.createCommand ?? '', code: event.error.code, message: event.error.message };
};
const deleted = ({ context }: Seen) => ({ commandId: context.deleteCommand ?? '', result: { uid: context.uid } });

export const volumeMachine = setup({
  types: { context: {} as VolumeContext, events: {} as VolumeEvent, input: {} as { id: string } },
  actions: {
    ...requests,
    take: assign(({ event }) => ({
      uid: event.meta.ulid,
      serial: serialOf(event.meta.ulid),
      spec: specOf(event),
      createCommand: event.meta.commandId ?? null,
    })),
    answered: assign({ createCommand: null }),
    hold: assign(({ context, event }) => {
      assertEvent(event, 'volume.attach');
      return {
        holder: event.vm,
        host: event.host,
        runEpoch: Math.max(context.runEpoch, event.runEpoch),
        failure: null,
      };
    }),
    letGo: assign({ holder: null }),
    takeSource: assign(({ event }) => {
      assertEvent(event, 'image.provided');
      return { source: { sha256: event.sha256, format: event.format } };
    }),
    noteFailure: assign(({ event }) => {
      assertEvent(event, ['image.refused', 'replica.failed']);
      return { failure: failureOf(event.error), ...(event.type === 'image.refused' ? { host: null } : {}) };
    }),
    freeSource: enqueueActions(({ context, enqueue }) => {
      if (context.spec?.image) enqueue({ type: 'send', params: messages.freeImage({ context }) });
    }),
    noteDelete: assign(({ event }) => ({ deleteCommand: event.meta.commandId ?? null })),
  },
  guards: {
    sameSpec: ({ context, event }) => sameJson(context.spec, specOf(event)),
    byAnother: ({ context, event }) =>
      event.type === 'volume.attach' && context.holder !== null && context.holder !== event.vm,
    elsewhere: ({ context, event }) =>
      event.type === 'volume.attach' && context.host !== null && context.host.name !== event.host.name,
    /** An answer for the host of an earlier try says nothing about this one. */
    isHere: ({ context, event }) => event.type === 'image.provided' && event.host === context.host?.name,
    needsImage: ({ context }) => context.spec?.image !== null && context.source === null,
    holderLeaves: ({ context, event }) => event.type === 'volume.detach' && context.holder === event.vm,
    placed: ({ context }) => context.host !== null,
    fromImage: ({ context }) => context.source !== null,
  },
  delays: { quotaDeadline: 10_000, imageDeadline: 600_000, replicaDeadline: 600_000, removeDeadline: 60_000 },
}).createMachine({
  id: 'volume',
  context: ({ input }) => ({
    id: input.id,
    uid: '',
    serial: '',
    spec: null,
    host: null,
    holder: null,
    runEpoch: 0,
    source: null,
    createCommand: null,
    deleteCommand: null,
    failure: null,
  }),
  initial: 'born',
  on: {
    'volume.create': [
      {
        guard: 'sameSpec',
        actions: { type: 'reply', params: ({ context }) => ({ result: { uid: context.uid, serial: context.serial } }) },
      },
      { actions: { type: 'reject', params: differs } },
    ],
    'volume.locate': { actions: { type: 'send', params: tellLocation } },
  },
  states: {
    born: {
      description: 'Exists only within the step that creates it.',
      on: {
        'volume.create': { target: 'claiming', actions: ['take', 'defer'] },
        'volume.locate': { target: 'absent', actions: { type: 'send', params: refuseAbsent } },
        'volume.attach': { target: 'absent', actions: { type: 'send', params: refuseAbsent } },
      },
    },
    claiming: {
      description: 'The tenant is asked whether its quota allows one more volume.',
      entry: { type: 'send', params: messages.claimQuota },
      on: {
        'quota.granted': { target: 'available', actions: [{ type: 'reply', params: created }, 'answered'] },
        'quota.refused': { target: 'refused', actions: { type: 'reject', params: refused } },
        'volume.create': { actions: { type: 'reject', params: nameBusy } },
        'volume.delete': { actions: { type: 'reject', params: nameBusy } },
      },
      after: { quotaDeadline: { target: 'claiming', reenter: true } },
    },
    available: {
      description:
        'No VM holds it. Its bytes, if it was ever attached, rest on one host; the failure says if that is gone.',
      tags: 'steady',
      on: {
        'replica.failed': { actions: 'noteFailure' },
        'volume.attach': [
          { guard: 'elsewhere', actions: { type: 'send', params: refuseElsewhere } },
          { guard: 'needsImage', target: 'held.imaging', actions: 'hold' },
          { target: 'held.attaching', actions: 'hold' },
        ],
        'volume.delete': [
          { guard: 'placed', target: 'removing', actions: ['noteDelete', 'defer'] },
          { target: 'gone', actions: ['noteDelete', 'defer'] },
        ],
      },
    },
    held: {
      description: 'A VM holds it; nobody else may.',
      initial: 'attaching',
      on: {
        'volume.attach': [
          { guard: 'byAnother', actions: { type: 'send', params: refuseHeld } },
          { guard: 'elsewhere', actions: { type: 'send', params: refuseElsewhere } },
          { guard: 'needsImage', target: '.imaging', actions: 'hold', reenter: true },
          { target: '.attaching', actions: 'hold', reenter: true },
        ],
        'volume.detach': { guard: 'holderLeaves', target: 'available', actions: 'letGo' },
        'volume.delete': { actions: { type: 'reject', params: inUse } },
      },
      states: {
        imaging: {
          description: 'The image is brought to the host, as a source for the first bytes.',
          entry: { type: 'send', params: messages.askImage },
          on: {
            'image.provided': { guard: 'isHere', target: 'attaching', actions: 'takeSource' },
            'image.refused': { target: 'stuck', actions: 'noteFailure' },
          },
          after: { imageDeadline: { target: 'imaging', reenter: true } },
        },
        attaching: {
          description: 'The host makes sure the bytes are there.',
          entry: { type: 'send', params: messages.askReplica },
          on: {
            'replica.ready': { target: 'attached' },
            'replica.failed': { target: 'stuck', actions: 'noteFailure' },
          },
          after: { replicaDeadline: { target: 'attaching', reenter: true } },
        },
        attached: {
          description: 'The holder may run on it, unless the failure says that the host is gone.',
          tags: 'steady',
          on: { 'replica.failed': { actions: 'noteFailure' } },
          entry: { type: 'send', params: messages.tellAttached },
        },
        stuck: {
          description: 'Its bytes cannot be made; the failure says why. The holder lets go or asks again.',
          tags: 'steady',
          entry: { type: 'send', params: messages.tellRefused },
        },
      },
    },
    removing: {
      description: 'The host removes the bytes.',
      entry: { type: 'send', params: messages.dropReplica },
      on: {
        'replica.removed': { target: 'gone' },
        'volume.create': { actions: { type: 'reject', params: nameBusy } },
        'volume.delete': { actions: { type: 'reject', params: nameBusy } },
        'volume.attach': { actions: { type: 'send', params: refuseHeld } },
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
      entry: ['freeSource', { type: 'send', params: messages.releaseQuota }, { type: 'reply', params: deleted }],
    },
  },
});
