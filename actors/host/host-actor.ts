/** The kind `host`: a worker host in the control plane, announced by its agent, watched by membership. */
import { hostMachine, type HostContext } from '@photoncloud/machines/host/host-machine';
import { hostKind } from '@photoncloud/machines/host/host-protocol';
import { isDiskLow } from '@photoncloud/machines/host/host-report';
import { reasonOf } from '@photoncloud/machines/values/conditions';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { defineActor } from '../kind/kind-definition.ts';
import { hostPerformers, type HostPerformer } from './host-effects.ts';

/** Its failure, or why it takes no new volumes and images. */
function whyNot({ failure, report }: HostContext): string | null {
  if (failure !== null || report === null || !isDiskLow(report)) return reasonOf({ failure });
  const { diskMib, diskFreeMib } = report;
  return `its disk is nearly full, with ${diskFreeMib} of ${diskMib} MiB free: it takes no new volumes and images`;
}

export const hostDefinition = (hosts: HostPerformer): ActorDefinition =>
  defineActor(hostKind, {
    chartVersion: 2,
    upgrades: {
      1: ({ state, context }) => ({ state, context: { ...(context as object), followers: [], drain: null } }),
    },
    machine: hostMachine,
    performers: hostPerformers(hosts),
    spec: ({ name, cordoned }: HostContext) => ({ name, cordoned }),
    status: ({ boot, report, index, silent, announcedAt, fencingRecord, ...more }: HostContext) => ({
      index,
      silent,
      boot,
      announcedAt,
      report,
      fencingRecord,
      followers: more.followers,
      drain: more.drain,
      failure: more.failure,
    }),
    reason: whyNot,
    ignored: ['host.registered', 'host.refused', 'host.silent', 'host.back', 'host.announce', 'drain.stands'],
  });
