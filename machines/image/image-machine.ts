/**
 * An image: bytes that are known by their digest, imported once and copied between hosts by that digest.
 * It answers holders (VMs for direct boot, volumes for first bytes) and may not be deleted while one holds it.
 */
import { assertEvent, assign, enqueueActions, setup } from 'xstate';
import { differences, failureOf, sameJson, type Failure } from '../values/failures.ts';
import { requests } from '../values/requests.ts';
import * as messages from './image-context.ts';
import type { ImageContext } from './image-context.ts';
import type { ImageEvent, ImageSpec } from './image-events.ts';

interface Seen {
  readonly context: ImageContext;
  readonly event: ImageEvent;
}

function specOf(event: ImageEvent): ImageSpec {
  assertEvent(event, 'image.create');
  return { source: event.source, format: event.format, sha256: event.sha256, host: event.host };
}

const differs = ({ context, event }: Seen) => ({
  code: 'exists_differently',
  message: `${context.id} exists with another spec; delete it first, or give the new one another name`,
  issues: differences(context.spec ?? {}, specOf(event)).map((issue) => ({ ...issue, path: `spec.${issue.path}` })),
});
const nameBusy = ({ context }: Seen) => ({
  code: 'name_busy',
  message: `${context.id} is being made or deleted; try again shortly`,
});
const inUse = ({ context }: Seen) => ({
  code: 'in_use',
  message: `${context.id} is held by ${context.holderCount} VM(s) or volume(s); delete those first`,
});
/** What a refusal is about when it is not the path. */
const refusedFields: Readonly<Record<string, string>> = {
  format_lies: 'spec.format',
  digest_mismatch: 'spec.sha256',
  host_not_found: 'spec.host',
};
const refused = ({ context, event }: Seen) => {
  const error: Failure =
    'error' in event ? event.error : { code: 'bug', message: 'refused without a reason', retryable: false };
  const path = event.type === 'quota.refused' ? 'name' : (refusedFields[error.code] ?? 'spec.source.path');
  return {
    commandId: context.createCommand ?? '',
    code: error.code,
    message: error.message,
    issues: [{ path, message: error.message }],
  };
};
const created = ({ context }: Seen) => ({
  commandId: context.createCommand ?? '',
  result: { uid: context.uid, host: context.home },
});
const deleted = ({ context }: Seen) => ({ commandId: context.deleteCommand ?? '', result: { uid: context.uid } });
const refuseEarly = ({ context, event }: Seen): messages.OutgoingMessage => {
  assertEvent(event, 'image.need');
  const message = `${context.id} is not ready${context.failure === null ? '' : `: ${context.failure.message}`}`;
  return messages.refuse(context, event.holder, {
    code: 'image_not_ready',
    message,
    retryable: context.failure === null,
  });
};
/** Of an image that is not there: nobody would ever answer otherwise. */
const refuseAbsent = ({ context, event }: Seen): messages.OutgoingMessage => {
  assertEvent(event, 'image.need');
  const message = `there is no ${context.id}; create it, or delete what names it`;
  return messages.refuse(context, event.holder, { code: 'image_not_found', message, retryable: false });
};
const holderRow = ({ event }: Seen) => {
  assertEvent(event, ['image.need', 'image.free']);
  return { collection: 'holder', key: event.holder };
};

export const imageMachine = setup({
  types: { context: {} as ImageContext, events: {} as ImageEvent, input: {} as { id: string } },
  actions: {
    ...requests,
    take: assign(({ event }) => ({
      uid: event.meta.ulid,
      spec: specOf(event),
      createCommand: event.meta.commandId ?? null,
    })),
    takeHome: assign(({ event }) => {
      assertEvent(event, 'import.placed');
      return { home: event.host.name };
    }),
    answered: assign({ createCommand: null }),
    takeProof: assign(({ context, event }) => {
      assertEvent(event, 'copy.ready');
      return { proof: event.proof, copies: { ...context.copies, [event.host]: 'ready' as const } };
    }),
    noteFailure: assign(({ event }) => ('error' in event ? { failure: failureOf(event.error) } : {})),
    noteDelete: assign(({ event }) => ({ deleteCommand: event.meta.commandId ?? null })),
    addHolder: assign(({ context, event }) => {
      assertEvent(event, 'image.need');
      return event.meta.rows?.[`holder/${event.holder}`] ? {} : { holderCount: context.holderCount + 1 };
    }),
    dropHolder: assign(({ context, event }) => {
      assertEvent(event, 'image.free');
      const waiting = context.waiting.filter((wait) => wait.holder !== event.holder);
      return event.meta.rows?.[`holder/${event.holder}`]
        ? { holderCount: context.holderCount - 1, waiting }
        : { waiting };
    }),
    fetchOrProvide: enqueueActions(({ context, event, enqueue }) => {
      assertEvent(event, 'image.need');
      const host = event.host.name;
      if (context.copies[host] === 'ready') {
        enqueue({ type: 'send', params: messages.provide(context, event.holder, host) });
        return;
      }
      const others = context.waiting.filter((wait) => wait.holder !== event.holder || wait.host !== host);
      enqueue.assign({
        copies: { ...context.copies, [host]: 'fetching' },
        waiting: [...others, { holder: event.holder, host }],
      });
      enqueue({ type: 'send', params: messages.askFetch(context, host) });
    }),
    settleWaiting: enqueueActions(({ context, event, enqueue }) => {
      assertEvent(event, ['copy.ready', 'copy.rejected']);
      for (const { holder } of context.waiting.filter((wait) => wait.host === event.host)) {
        const message =
          event.type === 'copy.ready'
            ? messages.provide(context, holder, event.host)
            : messages.refuse(context, holder, failureOf(event.error));
        enqueue({ type: 'send', params: message });
      }
      const copies = { ...context.copies };
      if (event.type === 'copy.rejected') delete copies[event.host];
      else copies[event.host] = 'ready';
      enqueue.assign({ copies, waiting: context.waiting.filter((wait) => wait.host !== event.host) });
    }),
    /** The others fetch from a host that is left, if one has it; else they wait for the return of this one. */
    loseCopy: assign(({ context, event }) => {
      assertEvent(event, 'copy.lost');
      const { [event.host]: _, ...copies } = context.copies;
      const [other] = Object.keys(copies).filter((host) => copies[host] === 'ready');
      return context.home === event.host && other !== undefined ? { copies, home: other } : { copies };
    }),
    dropCopies: enqueueActions(({ context, enqueue }) => {
      for (const host of Object.keys(context.copies))
        enqueue({ type: 'send', params: messages.dropCopy(context, host) });
    }),
    forgetCopy: assign(({ context, event }) => {
      assertEvent(event, ['copy.removed', 'copy.rejected']);
      const copies = { ...context.copies };
      delete copies[event.host];
      return { copies };
    }),
  },
  guards: {
    sameSpec: ({ context, event }) => sameJson(context.spec, specOf(event)),
    held: ({ context }) => context.holderCount > 0,
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
    id: input.id,
    uid: '',
    spec: null,
    home: null,
    proof: null,
    copies: {},
    waiting: [],
    holderCount: 0,
    createCommand: null,
    deleteCommand: null,
    failure: null,
  }),
  initial: 'born',
  on: {
    'image.create': [
      { guard: 'sameSpec', actions: { type: 'reply', params: ({ context }) => ({ result: { uid: context.uid } }) } },
      { actions: { type: 'reject', params: differs } },
    ],
    'image.delete': { actions: { type: 'reject', params: nameBusy } },
    'image.need': { actions: { type: 'send', params: refuseEarly } },
    'image.free': { actions: ['dropHolder', { type: 'row.remove', params: holderRow }] },
  },
  states: {
    born: {
      description: 'Exists only within the step that creates it.',
      on: {
        'image.create': { target: 'claiming', actions: ['take', 'defer'] },
        'image.need': { target: 'absent', actions: { type: 'send', params: refuseAbsent } },
      },
    },
    claiming: {
      description: 'The tenant is asked whether its quota allows one more image.',
      entry: { type: 'send', params: messages.claimQuota },
      on: {
        'quota.granted': { target: 'placing' },
        'quota.refused': { target: 'refused', actions: { type: 'reject', params: refused } },
        'image.create': { actions: { type: 'reject', params: nameBusy } },
      },
      after: { quotaDeadline: { target: 'claiming', reenter: true } },
    },
    placing: {
      description: 'The cluster is asked which host allows the path.',
      entry: { type: 'send', params: messages.askPlace },
      on: {
        'import.placed': { target: 'inspecting', actions: 'takeHome' },
        'import.refused': { target: 'gone', actions: { type: 'reject', params: refused } },
        'image.create': { actions: { type: 'reject', params: nameBusy } },
      },
      after: { placeDeadline: { target: 'placing', reenter: true } },
    },
    inspecting: {
      description: 'The host opens the file and reads its header; nothing is copied before that says yes.',
      entry: { type: 'send', params: messages.askImport },
      on: {
        'copy.inspected': { target: 'importing', actions: [{ type: 'reply', params: created }, 'answered'] },
        'copy.ready': { target: 'ready', actions: [{ type: 'reply', params: created }, 'answered', 'takeProof'] },
        'copy.rejected': { target: 'gone', actions: { type: 'reject', params: refused } },
        'image.create': { actions: { type: 'reject', params: nameBusy } },
      },
      after: { inspectDeadline: { target: 'inspecting', reenter: true } },
    },
    importing: {
      description: 'The host copies the bytes and takes their digest.',
      on: {
        'copy.ready': { target: 'ready', actions: 'takeProof' },
        'copy.rejected': { target: 'rejected', actions: 'noteFailure' },
        'copy.inspected': {},
      },
      // Asked again, but not inspected again: the client has its answer, and what is rejected now stays to say why.
      after: {
        importDeadline: { target: 'importing', reenter: true, actions: { type: 'send', params: messages.askImport } },
      },
    },
    ready: {
      description: 'The bytes are known by their digest and can be copied to any host.',
      tags: 'steady',
      on: {
        'image.need': { actions: ['addHolder', 'fetchOrProvide', { type: 'row.put', params: putHolder }] },
        'copy.ready': { actions: 'settleWaiting' },
        'copy.rejected': { actions: ['noteFailure', 'settleWaiting'] },
        'copy.lost': { actions: 'loseCopy' },
        'image.delete': [
          { guard: 'held', actions: { type: 'reject', params: inUse } },
          { target: 'removing', actions: ['noteDelete', 'defer'] },
        ],
      },
    },
    rejected: {
      description:
        'The file is not what it was said to be; the failure says how. Nothing of it was kept. It can be deleted.',
      tags: 'steady',
      on: { 'image.delete': { target: 'removing', actions: ['noteDelete', 'defer'] } },
    },
    removing: {
      description: 'The hosts drop their copies.',
      entry: 'dropCopies',
      always: { guard: 'noCopies', target: 'gone', actions: { type: 'reply', params: deleted } },
      on: {
        'copy.removed': { actions: 'forgetCopy' },
        'copy.rejected': { actions: 'forgetCopy' },
        'image.create': { actions: { type: 'reject', params: nameBusy } },
      },
      after: { removeDeadline: { target: 'removing', reenter: true } },
    },
    refused: {
      description: 'Never came to be: the quota does not allow it.',
      type: 'final',
    },
    absent: {
      description: 'Never made, or gone: whoever still names it has been told so.',
      type: 'final',
    },
    gone: {
      description: 'Deleted, or refused before anything was made; its quota is given back.',
      type: 'final',
      entry: { type: 'send', params: messages.releaseQuota },
    },
  },
});

function putHolder(seen: Seen): { collection: string; key: string; value: unknown } {
  assertEvent(seen.event, 'image.need');
  return { ...holderRow(seen), value: { host: seen.event.host.name } };
}
