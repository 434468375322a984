/**
 * The migration part of the dataplane. Each change takes the lock of the incarnation and checks its fence; what lasts
 * long holds the lock only for each of its steps, so that a stop need not wait. Called by linux-dataplane.ts only.
 */
import type { IncarnationRef } from '../contract/incarnation-contract.ts';
import type { Call } from '../contract/call-contract.ts';
import type { MigrationDataplane } from '../contract/migration-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { incarnationId, pathsOf } from '../hypervisor/qemu-folder.ts';
import type { IncarnationSessions } from '../hypervisor/qemu-session.ts';
import { fencedChange } from '../network-operations.ts';
import { checkOwner } from '../wiring-checks.ts';
import { awaitIncoming, receiveRun } from './migration-incoming.ts';
import { placeMovedFlows, reviewMovedFlows } from './moved-flows.ts';
import { readOutgoing, sendRun, unsendRun } from './migration-outgoing.ts';

export function migrationOperations(site: DataplaneSite, sessions: IncarnationSessions): MigrationDataplane {
  const change = fencedChange(site);
  const attempt =
    ({ owner }: IncarnationRef, call: Call) =>
    <Result>(work: () => Promise<Result>): Promise<Result> => {
      checkOwner(owner);
      return change('incarnation', `incarnation ${incarnationId(owner)}`, owner, call, work);
    };
  return {
    receiveIncarnation: (spec, call) => attempt(spec, call)(() => receiveRun(site, sessions, spec, call.fence.era)),
    awaitIncoming: (incarnation, call) =>
      awaitIncoming(site, sessions, incarnation, attempt(incarnation, call), call.signal),
    sendIncarnation: (ask, call) => sendRun(site, sessions, ask, attempt(ask.spec, call), call.signal),
    readOutgoing: ({ owner }) => {
      checkOwner(owner);
      return readOutgoing(site, sessions, owner);
    },
    holdIncarnation: (incarnation, call) =>
      attempt(
        incarnation,
        call,
      )(async () => {
        await (await sessions.client(pathsOf(site, incarnation.owner))).execute('stop');
      }),
    placeFlows: (run, flows, call) => attempt(run, call)(() => placeMovedFlows(site, run, flows)),
    reviewFlows: (run, flows, call) => attempt(run, call)(() => reviewMovedFlows(site, run, flows)),
    unsendIncarnation: (incarnation, call) =>
      attempt(incarnation, call)(() => unsendRun(site, sessions, incarnation.owner)),
  };
}
