/**
 * A controller of the takeover row: store, journal, host and membership wired as in the composition root, without peer
 * links and API. Used by the row itself (the survivor) and by runtime-owner-main.ts (the controller that is killed).
 */
import { createHost, type Host } from '@photoncloud/runtime/hosting/host';
import { systemClock } from '@photoncloud/runtime/hosting/system-clock';
import { createSystemRandom } from '@photoncloud/runtime/hosting/system-random';
import { ClusterClock } from '@photoncloud/runtime/directory/cluster-clock';
import { joinCluster, type Membership } from '@photoncloud/runtime/directory/cluster-membership';
import { createJournal } from '@photoncloud/runtime/journal/redis-journal';
import { connectStore } from '@photoncloud/runtime/journal/store-connection';
import { benchRegistry } from './runtime-kinds.ts';
import { benchLog } from './runtime-stage.ts';

export interface BenchMember {
  readonly host: Host;
  readonly membership: Membership;
  close(): Promise<void>;
}

const alone = (): Promise<never> => Promise.reject(new Error('members of the bench have no links to each other'));

export async function joinBench(url: string, name: string): Promise<BenchMember> {
  const clock = new ClusterClock(systemClock);
  const random = createSystemRandom();
  const store = await connectStore({ url, clock, log: benchLog });
  const journal = createJournal({ store, clock, log: benchLog });
  const joined: { membership?: Membership } = {};
  const verify = (shard: Parameters<Membership['verify']>[0]): void => void joined.membership?.verify(shard);
  const host = createHost({
    registry: benchRegistry(),
    journal,
    directory: {
      ownerOf: (id) => joined.membership?.directory.ownerOf(id),
      refresh: async () => joined.membership?.directory.refresh(),
    },
    outlet: { deliver: alone, command: alone },
    nodeName: name,
    clock,
    random,
    log: benchLog,
    onFenced: (grant) => void joined.membership?.fenced(grant),
  });
  journal.onFenced(verify);
  const membership = await joinCluster({
    store,
    node: { name, role: 'controller', peerUrl: 'https://127.0.0.1', boot: random.ulid(clock.wallMs()) },
    clock,
    log: benchLog,
    onGrant: (grant) => {
      journal.adopt(grant);
      void host.grant(grant);
    },
    onLost: (shard) => {
      journal.drop(shard);
      host.revoke(shard);
    },
    onHandover: (shards) => host.retire(shards),
    onNode: () => {},
  });
  joined.membership = membership;
  return {
    host,
    membership,
    async close() {
      await host.drain();
      await membership.leave();
      journal.close();
      store.close();
    },
  };
}
