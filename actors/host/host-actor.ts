/** The kind `host`: a worker host in the control plane, announced by its agent, watched by membership. */
import { hostMachine, type HostContext } from '@photoncloud/machines/host/host-machine';
import { hostKind } from '@photoncloud/machines/host/host-protocol';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { defineActor } from '../kind/kind-definition.ts';
import { hostPerformers, type HostPerformer } from './host-effects.ts';

export const hostDefinition = (hosts: HostPerformer): ActorDefinition =>
  defineActor(hostKind, {
    chartVersion: 1,
    machine: hostMachine,
    performers: hostPerformers(hosts),
    spec: ({ name, cordoned }: HostContext) => ({ name, cordoned }),
    status: ({ boot, report, index, silent, announcedAt, fencingRecord, failure }: HostContext) => ({
      index,
      silent,
      boot,
      announcedAt,
      report,
      fencingRecord,
      failure,
    }),
    ignored: ['host.registered', 'host.refused', 'host.silent', 'host.back', 'host.announce'],
  });
