/** Waiting until an object has come to rest: the state a person declared it for, or one that says why it cannot. */
import { partsOfId } from '@photoncloud/machines/values/identifiers';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { PhotonClient } from '@photoncloud/runtime/client/client';

interface Seen {
  readonly id: string;
  readonly stateName: string;
  readonly life: 'live' | 'removed';
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

/**
 * Resolves with the name of the state it came to rest in.
 * @throws defeat `not_settled` when it failed; unknown `wait_timeout` when the time is up, naming the state it is in
 */
export async function settle(
  client: PhotonClient,
  id: string,
  options: { readonly timeoutMs: number; readonly onWait: (text: string) => void; readonly until?: RegExp },
): Promise<string> {
  const wanted = options.until ?? rest[partsOfId(id).kind] ?? /^ready$/;
  let last: Seen = { id, stateName: 'unknown', life: 'live' };
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), options.timeoutMs);
  try {
    for await (const frame of client.watch({ ids: [id] }, controller.signal)) {
      const seen = 'actors' in frame ? frame.actors[0] : 'actor' in frame ? frame.actor : undefined;
      if (seen === undefined || seen.id !== id) continue;
      last = seen;
      options.onWait(`${id} ${seen.stateName}`);
      if (seen.life === 'removed' || wanted.test(seen.stateName))
        return seen.life === 'removed' ? 'removed' : seen.stateName;
      if (trouble.test(seen.stateName) && options.until === undefined) {
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
