/** The part of the dataplane's interface that checks whether backends of service IPs serve. */
import type { CheckedBackend, CheckSpec } from '@photoncloud/machines/values/service-elements';
import type { Call } from './call-contract.ts';

export interface CheckAsk {
  readonly spec: CheckSpec;
  readonly backends: readonly CheckedBackend[];
  /** Resolves after one result of each backend, also when no verdict has changed. */
  readonly once: boolean;
}

export interface ServiceDataplane {
  /**
   * Checks each backend in its interval, from the namespace of the VPC on this host, whatever security groups say;
   * resolves with all backends as soon as the verdict of one has changed. The first result of a backend without a
   * verdict is its verdict; then `rise` successes or `fall` failures in a row change it, counted on from `streak`.
   * Changes nothing that lasts. Rejects with the signal's reason when aborted.
   * @throws fault `segment_missing`, `kernel_busy`
   */
  checkBackends(ask: CheckAsk, call: Call): Promise<readonly CheckedBackend[]>;
}
