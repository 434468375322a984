/**
 * A host as the control plane sees it: present, silent, cordoned. Its agent does the work; this actor can report its
 * death. It keeps the cluster told what may be placed on it. It never touches what runs there: a silent host's VMs
 * may be well.
 */
import { assertEvent, assign, setup } from 'xstate';
import { failureOf, type Failure } from '../values/failures.ts';
import { agentId, clusterId, partsOfId } from '../values/identifiers.ts';
import { requests } from '../values/requests.ts';
import { send, tell, type Asked, type Seen } from '../values/telling.ts';
import type { HostEvent, HostReport } from './host-events.ts';

export interface HostContext {
  readonly id: string;
  readonly uid: string;
  readonly name: string;
  /** One life of the worker's process. */
  readonly boot: string;
  readonly report: HostReport | null;
  /** Given by the cluster; 0 until then. */
  readonly index: number;
  readonly cordoned: boolean;
  readonly silent: boolean;
  /** Wall time of the last announcement, ms. */
  readonly announcedAt: number;
  readonly failure: Failure | null;
}

type At = Seen<HostContext, HostEvent>;

const register = ({ context }: At): readonly Asked[] => [
  send(clusterId, {
    type: 'host.register',
    host: context.name,
    facts: context.report,
    schedulable: !context.cordoned && !context.silent,
    silent: context.silent,
  }),
];

const admit = ({ context }: At): readonly Asked[] => [
  send(agentId(context.name), { type: 'host.admitted', index: context.index, boot: context.boot }),
];

export const hostMachine = setup({
  types: { context: {} as HostContext, events: {} as HostEvent, input: {} as { id: string }, tags: {} as 'steady' },
  actions: {
    ...requests,
    noteReport: assign(({ context, event }) => {
      assertEvent(event, 'host.announce');
      const uid = context.uid === '' ? event.meta.ulid : context.uid;
      return { uid, boot: event.boot, report: event.facts, announcedAt: event.meta.at, silent: false, failure: null };
    }),
    noteIndex: assign(({ event }) => {
      assertEvent(event, 'host.registered');
      return { index: event.facts.index, failure: null };
    }),
    noteRefusal: assign(({ event }) => {
      assertEvent(event, 'host.refused');
      return { failure: failureOf(event.error) };
    }),
    noteSilent: assign({ silent: true }),
    noteBack: assign({ silent: false }),
    cordon: assign({ cordoned: true }),
    uncordon: assign({ cordoned: false }),
    tellCluster: tell(register),
    tellAgent: tell(admit),
  },
  delays: { registerDeadline: 5_000, refusedPause: 30_000 },
}).createMachine({
  id: 'host',
  context: ({ input }) => ({
    id: input.id,
    uid: '',
    name: partsOfId(input.id).name,
    boot: '',
    report: null,
    index: 0,
    cordoned: false,
    silent: false,
    announcedAt: 0,
    failure: null,
  }),
  initial: 'born',
  states: {
    born: {
      description: 'Exists only within the step that creates it.',
      tags: 'steady',
      on: { 'host.announce': { target: 'present.joining', actions: 'noteReport' } },
    },
    present: {
      description: 'Its worker process is there.',
      initial: 'joining',
      on: {
        'host.announce': { target: '.joining', reenter: true, actions: 'noteReport' },
        'host.silent': { target: 'silent', actions: 'noteSilent' },
        'host.back': {},
        'host.cordon': { target: '.joining', actions: 'cordon' },
        'host.uncordon': { target: '.joining', actions: 'uncordon' },
      },
      states: {
        joining: {
          description: 'The cluster is told what this host has and whether it takes work; its answer is awaited.',
          entry: 'tellCluster',
          on: {
            'host.registered': { target: 'ready', actions: ['noteIndex', 'tellAgent'] },
            'host.refused': { target: 'refused', actions: 'noteRefusal' },
          },
          after: { registerDeadline: { target: 'joining', reenter: true } },
        },
        ready: {
          description: 'The host is part of the cluster; unless it is cordoned it takes work.',
          tags: 'steady',
          on: { 'host.registered': { actions: 'noteIndex' } },
        },
        refused: {
          description: 'The cluster will not have this host, and says why; it is asked again every half minute.',
          after: { refusedPause: { target: 'joining' } },
        },
      },
    },
    silent: {
      description:
        'Its worker process has not been heard of. What runs on it may well run on; nothing new is placed there.',
      tags: 'steady',
      entry: 'tellCluster',
      on: {
        'host.registered': { actions: 'noteIndex' },
        'host.refused': { actions: 'noteRefusal' },
        'host.silent': {},
        'host.back': { target: 'present.joining', actions: 'noteBack' },
        'host.announce': { target: 'present.joining', actions: 'noteReport' },
        'host.cordon': { actions: ['cordon', 'tellCluster'] },
        'host.uncordon': { actions: ['uncordon', 'tellCluster'] },
      },
    },
  },
});
