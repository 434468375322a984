/** The part of the dataplane that checks backends of service IPs. Called by linux-dataplane.ts only. */
import type { ServiceDataplane } from '../contract/service-contract.ts';
import type { BackendChecks } from './backend-checks.ts';

export const serviceOperations = (checks: BackendChecks): ServiceDataplane => ({
  checkBackends: (ask, call) => checks.check(ask, call),
});
