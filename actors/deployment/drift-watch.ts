/**
 * Follows the objects of a deployment: a change of one of them that is no more than its own life is left alone, any
 * other is compared with the applied state. What no feed tells is found by comparing everything every five minutes.
 */
import { isChange } from '@photoncloud/machines/deployment/deployment-planner';
import type { PlanOrder, PlanStep } from '@photoncloud/machines/plan/plan-protocol';
import { canonicalJson } from '@photoncloud/machines/values/failures';
import type { DeployerPort } from './deployer-port.ts';
import type { DesiredTexts } from './desired-text.ts';
import { compare, inTurn, readBase, type Comparison } from './plan-reading.ts';

/** Changes that come together are looked at together. */
const gatherMs = 500;
const resyncMs = 300_000;
/** Of the drift, what the deployment shows. */
const shownDrift = 50;

interface Seen {
  readonly port: DeployerPort;
  readonly signal: AbortSignal;
  /** Ids of actors that have changed; null: any may have. */
  readonly changed: Set<string | null>;
}

/** What every object was when it was compared. */
const basesOf = ({ input, steps }: Comparison): Map<string, string | null> =>
  new Map(
    [...Object.keys(input.owned), ...steps.map(({ id }) => id)].map((id) => [id, input.live.get(id)?.base ?? null]),
  );

/** Resolves once one of the objects is declared otherwise than it was, or when everything is to be compared again. */
async function untilMoved({ port, signal, changed }: Seen, bases: ReadonlyMap<string, string | null>): Promise<void> {
  const end = port.now() + resyncMs * (0.9 + 0.2 * port.fraction());
  while (port.now() < end) {
    await port.pause(gatherMs, signal);
    if (changed.size === 0) continue;
    const ids = [...changed].filter((id) => id !== null && bases.has(id)) as string[];
    if (changed.has(null)) return;
    changed.clear();
    const read = await inTurn(ids, async (id) => (await readBase(port, id)) === bases.get(id));
    if (read.includes(false)) return;
  }
}

const asDrift = ({ id, action, changes, reason }: PlanStep) => ({ id, action, changes, reason });

/** @returns once the drift is another one than the known one */
export async function watchDrift(
  port: DeployerPort,
  texts: DesiredTexts,
  { order, known, afterMs }: { readonly order: PlanOrder; readonly known: string | null; readonly afterMs: number },
  signal: AbortSignal,
) {
  if (afterMs > 0) await port.pause(afterMs, signal);
  const changed = new Set<string | null>();
  port.follow((id) => changed.add(id), signal);
  for (;;) {
    changed.clear();
    const compared = await compare(port, texts, order);
    const drift = compared.steps.filter(isChange).map(asDrift);
    const print = drift.length === 0 ? '' : port.digest(canonicalJson(drift));
    if (print !== known) return { print, drift: drift.slice(0, shownDrift), count: drift.length };
    await untilMoved({ port, signal, changed }, basesOf(compared));
  }
}
