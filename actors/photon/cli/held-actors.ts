/**
 * How the CLI shows actors that are held (paused or quarantined): by whom, since when, why, and the next command to
 * run. Called by list, describe and the operator commands.
 */
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { age, textTable } from './text-table.ts';

export interface HoldShown {
  readonly kind: string;
  readonly reason: string;
  readonly by: string;
  readonly at: number;
}

export interface HeldActor {
  readonly id: string;
  readonly stateName: string;
  readonly hold: HoldShown;
}

const readsAtOnce = 8;

/** The next command for a held actor: ends a pause, or shows the dead letters behind a quarantine. */
export const nextStep = (id: string, kind: string): string =>
  kind === 'paused'
    ? `photon actor resume ${id} --reason WHY`
    : `photon deadletters ${id}; when the cause is repaired: photon actor redrive ${id} --reason WHY`;

export const holdLines = (id: string, { kind, by, at, reason }: HoldShown, now: number): string[] => [
  `${kind} by ${by} ${age(at, now)} ago: ${reason}`,
  `next: ${nextStep(id, kind)}`,
];

/** The actors among `ids` that are still held. Only `actor.get` returns who holds an actor and why; a list does not. */
export async function readHeld(client: PhotonClient, ids: readonly string[]): Promise<readonly HeldActor[]> {
  const found: HeldActor[] = [];
  for (let at = 0; at < ids.length; at += readsAtOnce) {
    const some = ids.slice(at, at + readsAtOnce);
    const read = await Promise.all(some.map((id) => client.call('actor.get', { id })));
    for (const { id, stateName, hold } of read) if (hold !== undefined) found.push({ id, stateName, hold });
  }
  return found;
}

export function heldText(held: readonly HeldActor[], now: number): string {
  if (held.length === 0) return 'no actor is held';
  const rows = held.map(({ id, stateName, hold }) => [
    id,
    stateName,
    hold.kind,
    hold.by,
    age(hold.at, now),
    hold.reason,
  ]);
  const [first] = held;
  const next = held.length === 1 && first !== undefined ? nextStep(first.id, first.hold.kind) : 'photon describe ID';
  return `${textTable(['id', 'state', 'held', 'by', 'for', 'reason'], rows)}\n\nnext: ${next}`;
}
