/** The effect of a service-check on its host. It lasts until a verdict changes. */
import type { serviceCheckKind } from '@photoncloud/machines/service-check/service-check-protocol';
import type { ServiceDataplane } from '../dataplane/contract/service-contract.ts';
import type { PerformersOf } from '../kind/kind-definition.ts';

export const serviceCheckPerformers = (services: ServiceDataplane): PerformersOf<typeof serviceCheckKind> => ({
  'service.check': {
    timeoutMs: null,
    perform: async (ask, call) => ({ backends: await services.checkBackends(ask, call) }),
  },
});
