/**
 * The dataplane of a node that has none: controllers know the pinned kinds (to show, to speak to, and to answer for
 * those of a fenced host), but no effect of theirs is ever performed here. Being called at all is a bug and says so.
 */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { AgentPerformer } from '../agent/agent-effects.ts';
import type { HostPerformer } from '../host/host-effects.ts';
import type { Dataplane } from '../dataplane/contract/dataplane-contract.ts';

const refusing = <Port extends object>(): Port =>
  new Proxy({} as Port, {
    get: (_, method) => () => {
      throw new PhotonError('bug', 'no_dataplane', `${String(method)} was called on a node without a dataplane`);
    },
  });

export const noDataplane = refusing<Dataplane>();
export const noAgent = refusing<AgentPerformer>();
/** Workers know the kind too, and never own one. */
export const noHosts = refusing<HostPerformer>();
