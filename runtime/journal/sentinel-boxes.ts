/**
 * Lists the boxes (Redis servers) of a store with Sentinels, and asks a box for its replication role. A process that
 * connects while a primary is being replaced has never seen the promoted replica follow, but the Sentinels know it.
 * Called by store-connection.ts and store-link.ts; replica-watch.ts draws the conclusions. Upholds G3.
 */
import type { Redis } from 'ioredis';
import { serverFields, undefinedIfForbidden } from './server-facts.ts';
import { connectForQuestion, sentinelAddresses, type StoreAddress } from './store-address.ts';

/** What a server reports of its place in the replication. */
export interface ReplicationRole {
  /** `master` for a primary. */
  readonly role: string;
  /** `master_replid`: a replica has that of its primary; undefined when the server forbids INFO. */
  readonly replicationId?: string | undefined;
  /** `master_replid2`: of a promoted replica, the id it followed until then; otherwise 40 times 0. */
  readonly formerReplicationId?: string | undefined;
}

/** @throws what the client throws when there is no answer */
export async function askReplicationRole(client: Redis): Promise<ReplicationRole> {
  const info = await serverFields(client, 'replication');
  const role = info?.get('role');
  if (role !== undefined)
    return { role, replicationId: info?.get('master_replid'), formerReplicationId: info?.get('master_replid2') };
  const [reported] = (await client.call('ROLE')) as [string];
  return { role: reported };
}

/**
 * Every box that the Sentinels know, primary or replica, as `host:port`. The first Sentinel to answer is enough: it may
 * not know the new primary yet, but it knows all boxes. Empty without Sentinels, or where their user may not ask.
 * @throws Error when no Sentinel answers
 */
export async function boxesOfSentinels(address: StoreAddress): Promise<readonly string[]> {
  if (address.kind !== 'sentinel') return [];
  const { masterName } = address;
  return Promise.any(sentinelAddresses(address).map((sentinel) => boxesOf(sentinel, masterName))).catch(() => {
    throw new Error('All sentinels are unreachable: none has said which boxes there are');
  });
}

async function boxesOf(sentinel: StoreAddress, masterName: string): Promise<readonly string[]> {
  const client = connectForQuestion(sentinel);
  try {
    const [primary, replicas] = await Promise.all([
      client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName).catch(undefinedIfForbidden),
      client.call('SENTINEL', 'REPLICAS', masterName).catch(undefinedIfForbidden),
    ]);
    const names = ((replicas ?? []) as readonly (readonly string[])[]).map(addressIn);
    return Array.isArray(primary) ? [primary.join(':'), ...names] : names;
  } finally {
    client.disconnect();
  }
}

/**
 * The box that most of the Sentinels name as primary, as `host:port`; undefined when most of them do not answer, or not
 * alike. A server that starts asks it, because the one that it served as may have been replaced meanwhile.
 */
export async function namedPrimary(address: StoreAddress): Promise<string | undefined> {
  if (address.kind !== 'sentinel') return undefined;
  const { masterName } = address;
  const answers = await Promise.all(
    sentinelAddresses(address).map(async (sentinel) => {
      const client = connectForQuestion(sentinel);
      try {
        const named = await client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName);
        return Array.isArray(named) ? named.join(':') : undefined;
      } catch {
        return undefined;
      } finally {
        client.disconnect();
      }
    }),
  );
  return answers.find(
    (one) => one !== undefined && answers.filter((other) => other === one).length * 2 > answers.length,
  );
}

/** @param fields names and values alternating, as a Sentinel lists a replica */
function addressIn(fields: readonly string[]): string {
  const valueOf = (field: string): string =>
    fields[fields.findIndex((one, at) => at % 2 === 0 && one === field) + 1] ?? '';
  return `${valueOf('ip')}:${valueOf('port')}`;
}
