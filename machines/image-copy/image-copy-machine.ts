/**
 * An image copy: an image on one host, imported there from a local file after inspection, gathered from an address or
 * from a client, or fetched by digest from another host. It reports what the file is; the image actor decides.
 */
import { assertEvent, assign, setup } from 'xstate';
import { backoffMs, failureOf, isHostGone, type Failure } from '../values/failures.ts';
import { partsOfId } from '../values/identifiers.ts';
import { effectActions } from '../values/kind.ts';
import { requests } from '../values/requests.ts';
import { send, tell, type Asked, type Seen } from '../values/telling.ts';
import type { CopyFetchSpec, CopyGatherSpec, CopyImportSpec, CopyProgress, CopyProof } from '../values/wiring.ts';
import {
  copyInspected,
  copyLost,
  copyProgress,
  copyReady,
  copyRejected,
  copyRemoved,
  imageCopyKind,
  type CopyRemoveSpec,
  type ImageCopyEvent,
} from './image-copy-protocol.ts';

export interface ImageCopyContext {
  readonly id: string;
  readonly image: string;
  /** One of the three is set, by the first request. */
  readonly importing: CopyImportSpec | null;
  readonly gathering: CopyGatherSpec | null;
  readonly fetching: CopyFetchSpec | null;
  /** Of what is gathered; null before the first bytes were accepted. */
  readonly progress: CopyProgress | null;
  readonly proof: CopyProof | null;
  readonly tries: number;
  readonly failure: Failure | null;
}

type At = Seen<ImageCopyContext, ImageCopyEvent>;
interface Held {
  readonly context: ImageCopyContext;
}

const hostOf = ({ id }: ImageCopyContext): string => partsOfId(id).host ?? '';
const importSpec = ({ context }: Held) => ({ spec: context.importing as CopyImportSpec });
const gatherSpec = ({ context }: Held) => ({ spec: context.gathering as CopyGatherSpec });
const fetchSpec = ({ context }: Held) => ({ spec: context.fetching as CopyFetchSpec });
const removeSpec = ({ context }: Held): { readonly spec: CopyRemoveSpec } => {
  const asked = context.importing ?? context.gathering ?? context.fetching;
  const { owner, format } = asked as CopyImportSpec | CopyGatherSpec | CopyFetchSpec;
  return { spec: { owner, format, sha256: context.proof?.sha256 ?? null } };
};

const tellInspected = ({ context }: At): readonly Asked[] => [
  send(context.image, copyInspected({ host: hostOf(context) })),
];
const tellProgress = ({ context }: At): readonly Asked[] => [
  send(context.image, copyProgress({ host: hostOf(context), ...(context.progress as CopyProgress) })),
];
const tellReady = ({ context }: At): readonly Asked[] => [
  send(context.image, copyReady({ host: hostOf(context), proof: context.proof as CopyProof })),
];
const tellRejected = ({ context }: At): readonly Asked[] => [
  send(context.image, copyRejected({ host: hostOf(context), error: context.failure as Failure })),
];
const tellLost = ({ context }: At): readonly Asked[] => [send(context.image, copyLost({ host: hostOf(context) }))];
const tellRemoved = ({ context }: At): readonly Asked[] => [
  send(context.image, copyRemoved({ host: hostOf(context) })),
];

const failures = [
  'image.inspect.failed',
  'image.import.failed',
  'image.gather.failed',
  'image.store.failed',
  'image.fetch.failed',
  'image.remove.failed',
] as const;

/** Bytes that came since the last report end a row of failures; how long all of it may take has a bound of its own. */
function noteProgress({ context, event }: At): Partial<ImageCopyContext> {
  assertEvent(event, 'image.gather.done');
  const { receivedBytes, totalBytes } = event;
  const grew = receivedBytes > (context.progress?.receivedBytes ?? 0);
  return { progress: { receivedBytes, totalBytes }, ...(grew ? { tries: 0, failure: null } : {}) };
}

const overdue: Failure = {
  code: 'source_overdue',
  message: 'the bytes have not come within 6 hours; delete the image, then import it again',
  retryable: false,
};

export const imageCopyMachine = setup({
  types: {
    context: {} as ImageCopyContext,
    events: {} as ImageCopyEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...effectActions(imageCopyKind),
    tellInspected: tell(tellInspected),
    tellProgress: tell(tellProgress),
    tellReady: tell(tellReady),
    tellRejected: tell(tellRejected),
    tellLost: tell(tellLost),
    tellRemoved: tell(tellRemoved),
    takeImport: assign(({ event }) => {
      assertEvent(event, 'copy.import');
      return { image: event.image, importing: event.spec };
    }),
    takeGather: assign(({ event }) => {
      assertEvent(event, 'copy.gather');
      return { image: event.image, gathering: event.spec };
    }),
    noteProgress: assign(noteProgress),
    noteOverdue: assign({ failure: overdue }),
    takeFetch: assign(({ event }) => {
      assertEvent(event, 'copy.fetch');
      return { image: event.image, fetching: event.spec };
    }),
    /** A copy that never existed does not know its image: it answers the sender of the removal. */
    takeAsker: assign(({ event }) => ({ image: event.meta.from ?? '' })),
    takeProof: assign(({ event }) => {
      assertEvent(event, ['image.import.done', 'image.store.done', 'image.fetch.done']);
      return { proof: event.proof, failure: null, tries: 0 };
    }),
    noteFailure: assign(({ context, event }) => {
      assertEvent(event, failures);
      return { failure: failureOf(event.error), tries: context.tries + 1 };
    }),
  },
  guards: {
    passes: ({ context, event }) => 'error' in event && event.error.retryable && context.tries < 5,
    isHostGone: ({ event }) => isHostGone(event),
    isImport: ({ context }) => context.importing !== null,
    isWhole: ({ event }) => 'isWhole' in event && event.isWhole,
  },
  delays: {
    inspectDeadline: 1_800_000,
    copyDeadline: 1_800_000,
    reportDeadline: 300_000,
    gatherDeadline: 6 * 3_600_000,
    removeDeadline: 60_000,
    backoff: ({ context }) => backoffMs(context.tries),
  },
}).createMachine({
  id: 'image-copy',
  context: ({ input }) => ({
    id: input.id,
    image: '',
    importing: null,
    gathering: null,
    fetching: null,
    progress: null,
    proof: null,
    tries: 0,
    failure: null,
  }),
  initial: 'born',
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      on: {
        'copy.import': { target: 'inspecting', actions: 'takeImport' },
        'copy.gather': { target: 'gathering', actions: 'takeGather' },
        'copy.fetch': { target: 'fetching', actions: 'takeFetch' },
        'copy.remove': { target: 'gone', actions: 'takeAsker' },
      },
    },
    inspecting: {
      description: 'The file is opened below an allowed root, and its header is compared with the declaration.',
      entry: { type: 'image.inspect', params: importSpec },
      on: {
        'image.inspect.done': { target: 'importing', actions: 'tellInspected' },
        'image.inspect.failed': [
          { guard: 'passes', target: 'backoff', actions: 'noteFailure' },
          { target: 'rejected', actions: 'noteFailure' },
        ],
        'image.inspect.unknown': { target: 'inspecting', reenter: true },
        'copy.remove': { target: 'removing' },
      },
      after: { inspectDeadline: { target: 'inspecting', reenter: true } },
    },
    importing: {
      description: "The bytes are copied into the host's image store, and their digest is computed.",
      entry: { type: 'image.import', params: importSpec },
      on: {
        'image.import.done': { target: 'ready', actions: 'takeProof' },
        'image.import.failed': [
          { guard: 'passes', target: 'backoff', actions: 'noteFailure' },
          { target: 'rejected', actions: 'noteFailure' },
        ],
        'image.import.unknown': { target: 'importing', reenter: true },
        'copy.remove': { target: 'removing' },
      },
      after: { copyDeadline: { target: 'importing', reenter: true } },
    },
    gathering: {
      description: 'The bytes come from an address or from a client. What has come stays on the host over failures.',
      initial: 'receiving',
      on: { 'copy.remove': { target: 'removing' } },
      after: { gatherDeadline: { target: 'discarding', actions: 'noteOverdue' } },
      states: {
        receiving: {
          description: 'Bytes are received; the host reports now and then how many.',
          entry: { type: 'image.gather', params: gatherSpec },
          on: {
            'image.gather.done': [
              { guard: 'isWhole', target: '#image-copy.storing', actions: 'noteProgress' },
              { target: 'receiving', reenter: true, actions: ['noteProgress', 'tellProgress'] },
            ],
            'image.gather.failed': [
              { guard: 'passes', target: 'backoff', actions: 'noteFailure' },
              { target: '#image-copy.discarding', actions: 'noteFailure' },
            ],
            'image.gather.unknown': { target: 'receiving', reenter: true },
          },
          after: { reportDeadline: { target: 'receiving', reenter: true } },
        },
        backoff: {
          description: 'The source failed; it is asked again shortly, from the first byte that is missing.',
          after: { backoff: { target: 'receiving' } },
        },
      },
    },
    storing: {
      description: 'All bytes are here. Their digest and header are checked, then they become the copy.',
      entry: { type: 'image.store', params: gatherSpec },
      on: {
        'image.store.done': { target: 'ready', actions: 'takeProof' },
        'image.store.failed': [
          { guard: 'passes', target: 'storeBackoff', actions: 'noteFailure' },
          { target: 'discarding', actions: 'noteFailure' },
        ],
        'image.store.unknown': { target: 'storing', reenter: true },
        'copy.remove': { target: 'removing' },
      },
      after: { copyDeadline: { target: 'storing', reenter: true } },
    },
    storeBackoff: {
      description: 'Making the copy failed with a transient failure; it is retried shortly.',
      on: { 'copy.remove': { target: 'removing' } },
      after: { backoff: { target: 'storing' } },
    },
    discarding: {
      description: 'What was gathered is removed from the host; if that fails, the sweep of the host removes it later.',
      entry: { type: 'image.remove', params: removeSpec },
      on: {
        'image.remove.done': { target: 'rejected' },
        'image.remove.failed': { target: 'rejected' },
        'image.remove.unknown': { target: 'rejected' },
      },
      after: { removeDeadline: { target: 'rejected' } },
    },
    fetching: {
      description: 'The bytes are fetched from another host, and their digest is verified.',
      entry: { type: 'image.fetch', params: fetchSpec },
      on: {
        'image.fetch.done': { target: 'ready', actions: 'takeProof' },
        'image.fetch.failed': [
          { guard: 'passes', target: 'backoff', actions: 'noteFailure' },
          { target: 'rejected', actions: 'noteFailure' },
        ],
        'image.fetch.unknown': { target: 'fetching', reenter: true },
        'copy.remove': { target: 'removing' },
      },
      after: { copyDeadline: { target: 'fetching', reenter: true } },
    },
    backoff: {
      description: 'The last attempt failed with a transient failure; it is retried shortly.',
      on: { 'copy.remove': { target: 'removing' } },
      after: { backoff: [{ guard: 'isImport', target: 'inspecting' }, { target: 'fetching' }] },
    },
    ready: {
      description:
        "The image is in the host's store under its digest. While the host is fenced, it waits for the host to return.",
      tags: 'steady',
      entry: 'tellReady',
      on: {
        'copy.import': { target: 'ready', reenter: true },
        'copy.gather': { target: 'ready', reenter: true },
        'copy.fetch': { target: 'ready', reenter: true },
        'copy.remove': { target: 'removing' },
        'host.gone': { actions: 'tellLost' },
      },
    },
    removing: {
      description: 'The host removes the file, unless another image with the same digest uses it.',
      entry: { type: 'image.remove', params: removeSpec },
      on: {
        'image.remove.done': { target: 'gone' },
        'image.remove.failed': [
          { guard: 'isHostGone', target: 'gone' },
          { target: 'removeBackoff', actions: 'noteFailure' },
        ],
        'image.remove.unknown': { target: 'removing', reenter: true },
      },
      after: { removeDeadline: { target: 'removing', reenter: true } },
    },
    removeBackoff: {
      description: 'Removing the file failed; it is retried without limit.',
      after: { backoff: { target: 'removing' } },
    },
    rejected: {
      description: 'The file does not match its declaration or cannot be read; nothing of it was kept.',
      type: 'final',
      entry: 'tellRejected',
    },
    gone: {
      description: 'Nothing of the copy is left on the host, or the host is fenced.',
      type: 'final',
      entry: 'tellRemoved',
    },
  },
});
