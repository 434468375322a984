/** The kinds `rollout` and `host-rollout`: NixOS hosts are brought to systems that were built elsewhere. */
import { hostRolloutMachine, type HostRolloutContext } from '@photoncloud/machines/host-rollout/host-rollout-machine';
import { hostRolloutKind } from '@photoncloud/machines/host-rollout/host-rollout-protocol';
import { hasEnded, type RolloutContext } from '@photoncloud/machines/rollout/rollout-hosts';
import { rolloutMachine } from '@photoncloud/machines/rollout/rollout-machine';
import { rolloutKind } from '@photoncloud/machines/rollout/rollout-protocol';
import { reasonOf } from '@photoncloud/machines/values/conditions';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { defineActor } from '../kind/kind-definition.ts';
import { hostRolloutPerformers, rolloutPerformers } from './rollout-effects.ts';
import type { RolloutPort } from './rollout-port.ts';

/** Why it has stopped, or else what the first host says that has not ended. */
function whyNot(context: RolloutContext): string | null {
  if (context.failure !== null) return reasonOf(context);
  const one = context.hosts.find((host) => !hasEnded(host) && host.why !== '');
  return one === undefined ? null : `${one.host}: ${one.why}`;
}

export const rolloutDefinition = (port: RolloutPort): ActorDefinition =>
  defineActor(rolloutKind, {
    chartVersion: 1,
    machine: rolloutMachine,
    performers: rolloutPerformers(port),
    status: ({ hosts, startedAt, endedAt }: RolloutContext) => ({
      canary: hosts[0]?.host ?? null,
      confirmed: hosts.filter(({ phase }) => phase === 'confirmed').length,
      hosts: hosts.map(({ host, system, phase, why, since, standing }) => ({
        host,
        system,
        phase,
        why,
        since,
        standing,
      })),
      startedAt,
      endedAt,
    }),
    reason: whyNot,
    ignored: ['rollout.granted', 'rollout.refused', 'rollout.ask', 'host.stands', 'host-rollout.stands'],
  });

export const hostRolloutDefinition = (port: RolloutPort): ActorDefinition =>
  defineActor(hostRolloutKind, {
    chartVersion: 1,
    machine: hostRolloutMachine,
    performers: hostRolloutPerformers(port),
    spec: ({ rollout, request }: HostRolloutContext) => ({ rollout, ...request }),
    status: ({ order, seen, why, failure }: HostRolloutContext) => ({ order, seen, why, failure }),
    reason: ({ why, failure }: HostRolloutContext) => failure?.message ?? (why === '' ? null : why),
    ignored: [
      'host-rollout.receive',
      'host-rollout.activate',
      'host-rollout.confirm',
      'host-rollout.abort',
      'host.gone',
    ],
  });
