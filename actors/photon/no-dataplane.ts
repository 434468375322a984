/**
 * The dataplane of a node without one. Controllers know the pinned kinds: they show their actors, send them messages,
 * and are surrogate owners of those of a fenced host. They never perform an effect of a pinned kind: a call is a bug.
 */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { AgentPerformer } from '../agent/agent-effects.ts';
import type { DeployerPort } from '../deployment/deployer-port.ts';
import type { HostPerformer } from '../host/host-effects.ts';
import type { RolloutPort } from '../rollout/rollout-port.ts';
import type { Dataplane } from '../dataplane/contract/dataplane-contract.ts';

const refusing = <Port extends object>(): Port =>
  new Proxy({} as Port, {
    get: (_, method) => () => {
      throw new PhotonError('bug', 'no_dataplane', `${String(method)} was called on a node without a dataplane`);
    },
  });

export const noDataplane = refusing<Dataplane>();
export const noAgent = refusing<AgentPerformer>();
/** The same for the effects of kind `host` on workers, which know the kind and never own an actor of it. */
export const noHosts = refusing<HostPerformer>();
/** The same for those of deployments and plans. */
export const noDeployer = refusing<DeployerPort>();
/** The same for those of rollouts: a controller has no agent to ask, and a worker reaches no host. */
export const noRollouts = refusing<RolloutPort>();
