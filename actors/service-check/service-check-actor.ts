/** The kind `service-check`: the health checks of a service IP on a host. Only its service IP sends messages to it. */
import {
  serviceCheckMachine,
  type ServiceCheckContext,
} from '@photoncloud/machines/service-check/service-check-machine';
import { serviceCheckKind } from '@photoncloud/machines/service-check/service-check-protocol';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import type { ServiceDataplane } from '../dataplane/contract/service-contract.ts';
import { defineActor } from '../kind/kind-definition.ts';
import { serviceCheckPerformers } from './service-check-effects.ts';

export const serviceCheckDefinition = (services: ServiceDataplane): ActorDefinition =>
  defineActor(serviceCheckKind, {
    chartVersion: 1,
    machine: serviceCheckMachine,
    performers: serviceCheckPerformers(services),
    spec: ({ spec }: ServiceCheckContext) => spec,
    status: ({ backends, round, failure, tries }: ServiceCheckContext) => ({ backends, round, failure, tries }),
    ignored: [],
  });
