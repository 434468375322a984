/**
 * The boxes of a store with Sentinels, and what each says of itself. A process that connects while a primary is being
 * replaced has never seen the promoted replica follow; the Sentinels know of it all the same. Called by
 * store-connection.ts; replica-watch.ts makes of it what has to be made. Upholds G3.
 */
import type { Redis } from 'ioredis';
import { fieldsTold, ifNotTold } from './server-facts.ts';
import { connectForQuestion, sentinelAddresses, type StoreAddress } from './store-address.ts';

/** What a server says of its own place. */
export interface Standing {
  /** `master` for a primary. */
  readonly role: string;
  /** As `StoreFacts.replicationId`, a replica's is that of its primary; undefined when it does not tell. */
  readonly replicationId?: string | undefined;
  /** Of a primary: of the one it followed until it was promoted, or 40 times 0. */
  readonly formerReplicationId?: string | undefined;
}

/** @throws what the client throws when there is no answer */
export async function askStanding(client: Redis): Promise<Standing> {
  const info = await fieldsTold(client, 'replication');
  const role = info?.get('role');
  if (role !== undefined)
    return { role, replicationId: info?.get('master_replid'), formerReplicationId: info?.get('master_replid2') };
  const [told] = (await client.call('ROLE')) as [string];
  return { role: told };
}

/**
 * Every box the Sentinels know, primary or replica, `host:port`; the first to answer is believed: who is the primary
 * may be news to it, which boxes there are is not. Nothing without Sentinels, or where their user may not ask.
 * @throws Error when no Sentinel answers
 */
export async function knownBoxes(address: StoreAddress): Promise<readonly string[]> {
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
      client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName).catch(ifNotTold),
      client.call('SENTINEL', 'REPLICAS', masterName).catch(ifNotTold),
    ]);
    const names = ((replicas ?? []) as readonly (readonly string[])[]).map(addressIn);
    return Array.isArray(primary) ? [primary.join(':'), ...names] : names;
  } finally {
    client.disconnect();
  }
}

/** Fields and values in turn. */
function addressIn(fields: readonly string[]): string {
  const valueOf = (field: string): string =>
    fields[fields.findIndex((one, at) => at % 2 === 0 && one === field) + 1] ?? '';
  return `${valueOf('ip')}:${valueOf('port')}`;
}
