/** What rollouts ask of the node that performs their effects: of a controller to reach hosts, of a worker its agent. */
import type { systemFollow } from '@photoncloud/machines/host-rollout/host-rollout-protocol';
import type { z } from 'zod';

export type FollowAsk = NonNullable<typeof systemFollow.params>;
export type FollowAnswer = z.output<typeof systemFollow.done>;

export interface RolloutPort {
  /**
   * On a controller: opens a new connection to the host, and reads the record of its agent there.
   * @param id of the request @throws PhotonError when the host cannot be reached, or its agent does not wait
   */
  reach(host: string, id: string, signal: AbortSignal): Promise<void>;
  /**
   * On a worker: hands the agent of this host the request and the order, and resolves when its record is not as it was
   * seen. @throws PhotonError defeat when there is no agent, or it was asked for something newer
   */
  follow(ask: FollowAsk, signal: AbortSignal): Promise<FollowAnswer>;
}
