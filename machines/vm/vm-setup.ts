/**
 * The words of the VM chart: its named changes, requests, guards and deadlines. What they do stands in vm-changes,
 * vm-context and vm-guards; when they are said is the chart's business (vm-machine.ts).
 */
import { assign, enqueueActions, setup } from 'xstate';
import { backoffMs } from '../values/failures.ts';
import { requests } from '../values/requests.ts';
import * as changes from './vm-changes.ts';
import * as messages from './vm-context.ts';
import type { VmContext } from './vm-context.ts';
import type { VmEvent } from './vm-events.ts';
import * as guards from './vm-guards.ts';

export const vmSetup = setup({
  types: { context: {} as VmContext, events: {} as VmEvent, input: {} as { id: string } },
  actions: {
    ...requests,
    take: assign(changes.take),
    answered: assign({ createCommand: null }),
    awaitPorts: assign(changes.awaitPorts),
    awaitHeldPorts: assign(changes.awaitHeldPorts),
    awaitVolumes: assign(changes.awaitVolumes),
    awaitPreparations: assign(changes.awaitPreparations),
    notePort: assign(changes.notePort),
    noteRefusal: assign(changes.noteRefusal),
    noteTapped: assign(changes.noteTapped),
    noteAttached: assign(changes.noteAttached),
    noteImage: assign(changes.noteImage),
    noteLocated: assign(changes.noteLocated),
    noteUnbound: assign(changes.noteUnbound),
    noteGone: assign(changes.noteGone),
    notePlaced: assign(changes.notePlaced),
    noteFailure: assign(changes.noteFailure),
    newIncarnation: assign(changes.newIncarnation),
    noteRunning: assign(changes.noteRunning),
    noteEnd: assign(changes.noteEnd),
    wantRunning: assign(changes.wantRunning),
    wantStopped: assign(changes.wantStopped),
    wantRestart: assign(changes.wantRestart),
    wantDeleted: assign(changes.wantDeleted),
    settle: assign(changes.settle),
    letGo: assign(changes.letGo),
    forgetFailure: assign({ failure: null }),
    askPorts: enqueueActions(({ context, enqueue }) => {
      for (const nic of messages.specIn(context).nics) {
        const message = messages.askPort(context, nic);
        if (context.awaited.includes(message.to)) enqueue({ type: 'send', params: message });
      }
    }),
    askVolumes: enqueueActions(({ context, enqueue }) => {
      for (const to of context.awaited)
        enqueue({ type: 'send', params: { to, event: { type: 'volume.locate', vm: context.id } } });
    }),
    askPreparations: enqueueActions(({ context, enqueue }) => {
      for (const params of messages.preparations(context)) enqueue({ type: 'send', params });
    }),
    askReleases: enqueueActions(({ context, enqueue }) => {
      for (const params of messages.releases(context)) enqueue({ type: 'send', params });
    }),
    releasePorts: enqueueActions(({ context, enqueue }) => {
      for (const to of context.awaited)
        enqueue({ type: 'send', params: { to, event: { type: 'port.release', holder: context.id } } });
    }),
  },
  guards,
  delays: {
    quotaDeadline: 10_000,
    addressDeadline: 15_000,
    locateDeadline: 15_000,
    placeDeadline: 10_000,
    placeRetry: 5_000,
    prepareDeadline: 60_000,
    startDeadline: 120_000,
    stopDeadline: ({ context }) => context.graceMs + 60_000,
    releaseDeadline: 30_000,
    backoff: ({ context }) => backoffMs(context.tries),
  },
});
