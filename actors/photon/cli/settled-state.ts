/** Waits until an object has settled: in a resting state of its kind, in a requested state, or in a failed state. */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { CallOptions, PhotonClient } from '@photoncloud/runtime/client/client';
import { clientClock } from '@photoncloud/runtime/client/client-clock';
import { failedStates, isRealized, restingStatesOf, waitsFor } from '../../kind/resting-states.ts';
import type { Deadline } from './deadline.ts';

interface Seen {
  readonly id: string;
  readonly stateName: string;
  readonly lifecycle: 'live' | 'removed';
  readonly status?: unknown;
}

/** How long the answer to a wait that has ended may take. */
const reasonMs = 1_000;

/** What the newest declaration waits for, the reason that the object shows, or the command that shows more. */
async function reasonOf(client: PhotonClient, id: string, within: CallOptions): Promise<string> {
  const { reason, status } = await client.call('actor.get', { id }, within);
  return waitsFor(status) ?? reason ?? 'photon describe shows more';
}

export interface SettleOptions {
  readonly deadline: Deadline;
  readonly onWait: (text: string) => void;
  /** Names of requested states; default: the resting states of the kind. */
  readonly until?: RegExp;
  /** A failed state ends the wait too; the default is true without `until` and false with it. */
  readonly failing?: boolean;
}

/**
 * Resolves with the name of the state in which the object settled.
 * @throws defeat `not_settled` when it failed or was removed; unknown `wait_timeout`, which names the current state
 */
export async function settle(client: PhotonClient, id: string, options: SettleOptions): Promise<string> {
  const wanted = options.until ?? restingStatesOf(id);
  let last: Seen = { id, stateName: 'unknown', lifecycle: 'live' };
  const controller = new AbortController();
  const cancel = clientClock.after(options.deadline.leftMs(), () => controller.abort());
  const { signal } = controller;
  try {
    for await (const frame of client.watch({ ids: [id] }, signal)) {
      let seen: Seen | undefined = 'actors' in frame ? frame.actors[0] : 'actor' in frame ? frame.actor : undefined;
      // The items of a watch do not contain objects that were removed before.
      if (frame.type === 'synced' && last.stateName === 'unknown')
        seen = await client.call('actor.get', { id }, { signal });
      if (seen === undefined || seen.id !== id) continue;
      last = seen;
      const state = seen.lifecycle === 'removed' ? 'removed' : seen.stateName;
      options.onWait(`${id} ${state}`);
      if (wanted.test(state)) {
        if (options.until !== undefined) return state;
        const { status } = await client.call('actor.get', { id }, { signal });
        if (isRealized(status)) return state;
        options.onWait(`${id} ${state}: ${waitsFor(status) ?? 'its newest declaration is being realized'}`);
      }
      if (state === 'removed') {
        throw new PhotonError('defeat', 'not_settled', `${id} was removed`, { public: true });
      }
      if (failedStates.test(seen.stateName) && (options.failing ?? options.until === undefined)) {
        const why = await reasonOf(client, id, { signal });
        throw new PhotonError('defeat', 'not_settled', `${id} is ${seen.stateName}: ${why}`, { public: true });
      }
    }
  } catch (error) {
    // A call that the deadline has aborted.
    if (!(signal.aborted && error instanceof PhotonError && error.record.code === 'call_aborted')) throw error;
  } finally {
    cancel();
    controller.abort();
  }
  const why = await reasonOf(client, id, { timeoutMs: reasonMs }).catch(() => 'the control API does not answer');
  const { seconds } = options.deadline;
  throw new PhotonError('unknown', 'wait_timeout', `${id} is still ${last.stateName} after ${seconds} s: ${why}`);
}
