/** Waiting until an object has come to rest: the state a person declared it for, or one that says why it cannot. */
import { partsOfId } from '@photoncloud/machines/values/identifiers';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { PhotonClient } from '@photoncloud/runtime/client/client';

interface Seen {
  readonly id: string;
  readonly stateName: string;
  readonly lifecycle: 'live' | 'removed';
  readonly status?: unknown;
}

const rest: Readonly<Record<string, RegExp>> = {
  tenant: /^active$/,
  vm: /^(running|stopped)$/,
  port: /^(unbound|active)$/,
  volume: /^(available|held\.attached)$/,
};
const trouble = /^(failed|rejected|held\.stuck)/;

/** What the object itself says went wrong, or where to look. */
async function reasonOf(client: PhotonClient, id: string): Promise<string> {
  const { status } = await client.call('actor.get', { id });
  const failure = (status as { failure?: { message?: string } | null } | undefined)?.failure;
  return failure?.message ?? 'photon describe shows what it waits for';
}

interface DeclaredStatus {
  readonly generation?: number;
  readonly observedGeneration?: number;
  readonly conditions?: readonly { readonly type: string; readonly status: string }[];
}

/** The newest declaration is realized, or waits for nothing but a restart that somebody has to ask for. */
async function isRealized(client: PhotonClient, id: string): Promise<boolean> {
  const { status } = await client.call('actor.get', { id });
  const { generation = 0, observedGeneration = 0, conditions = [] } = (status ?? {}) as DeclaredStatus;
  if (observedGeneration >= generation) return true;
  return conditions.some(({ type, status: is }) => type === 'RestartRequired' && is === 'True');
}

export interface SettleOptions {
  readonly timeoutMs: number;
  readonly onWait: (text: string) => void;
  /** Names of states; default: those in which the kind rests. */
  readonly until?: RegExp;
  /** A failed state ends the waiting too; so it is without `until`. */
  readonly failing?: boolean;
}

/**
 * Resolves with the name of the state it came to rest in.
 * @throws defeat `not_settled` when it failed; unknown `wait_timeout` when the time is up, naming the state it is in
 */
export async function settle(client: PhotonClient, id: string, options: SettleOptions): Promise<string> {
  const wanted = options.until ?? rest[partsOfId(id).kind] ?? /^ready$/;
  let last: Seen = { id, stateName: 'unknown', lifecycle: 'live' };
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), options.timeoutMs);
  try {
    for await (const frame of client.watch({ ids: [id] }, controller.signal)) {
      let seen: Seen | undefined = 'actors' in frame ? frame.actors[0] : 'actor' in frame ? frame.actor : undefined;
      // A snapshot leaves out what has been removed before.
      if (frame.type === 'synced' && last.stateName === 'unknown') seen = await client.call('actor.get', { id });
      if (seen === undefined || seen.id !== id) continue;
      last = seen;
      const state = seen.lifecycle === 'removed' ? 'removed' : seen.stateName;
      options.onWait(`${id} ${state}`);
      if (wanted.test(state) && (options.until !== undefined || (await isRealized(client, id)))) return state;
      if (state === 'removed') {
        throw new PhotonError('defeat', 'not_settled', `${id} was removed`, { public: true });
      }
      if (trouble.test(seen.stateName) && (options.failing ?? options.until === undefined)) {
        const why = await reasonOf(client, id);
        throw new PhotonError('defeat', 'not_settled', `${id} is ${seen.stateName}: ${why}`, { public: true });
      }
    }
  } finally {
    clearTimeout(timer);
    controller.abort();
  }
  const seconds = Math.round(options.timeoutMs / 1_000);
  const why = await reasonOf(client, id);
  throw new PhotonError('unknown', 'wait_timeout', `${id} is still ${last.stateName} after ${seconds} s: ${why}`);
}
