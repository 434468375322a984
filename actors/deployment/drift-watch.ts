/**
 * Follows the objects of a deployment: a change of one of them that is no more than its own life is left alone, any
 * other is compared with the applied state. What no feed tells is found by comparing everything every five minutes.
 */
import { isChange, type LiveObject } from '@photoncloud/machines/deployment/deployment-planner';
import type { Loss } from '@photoncloud/machines/deployment/deployment-protocol';
import type { PlanOrder, PlanStep } from '@photoncloud/machines/plan/plan-protocol';
import { canonicalJson } from '@photoncloud/machines/values/failures';
import type { DeployerPort } from './deployer-port.ts';
import type { DesiredTexts } from './desired-text.ts';
import { compare, inTurn, readOne, type Comparison } from './plan-reading.ts';

/** Changes that come together are looked at together. */
const gatherMs = 500;
const resyncMs = 300_000;
/** Of the drift, what the deployment shows. */
const shownDrift = 50;
const shownLosses = 20;

interface Seen {
  readonly port: DeployerPort;
  readonly signal: AbortSignal;
  /** Ids of actors that have changed; null: any may have. */
  readonly changed: Set<string | null>;
}

/** What is followed of an object: its declaration, and what a host has lost of it. */
const sightOf = (live: LiveObject | undefined): string => canonicalJson([live?.base ?? null, live?.loss ?? null]);

/** What every object was when it was compared. */
const sightsOf = ({ input, steps }: Comparison): Map<string, string> =>
  new Map([...Object.keys(input.owned), ...steps.map(({ id }) => id)].map((id) => [id, sightOf(input.live.get(id))]));

/** Resolves once one of the objects is not what it was, or when everything is to be compared again. */
async function untilMoved({ port, signal, changed }: Seen, sights: ReadonlyMap<string, string>): Promise<void> {
  const end = port.now() + resyncMs * (0.9 + 0.2 * port.fraction());
  while (port.now() < end) {
    await port.pause(gatherMs, signal);
    if (changed.size === 0) continue;
    const ids = [...changed].filter((id) => id !== null && sights.has(id)) as string[];
    if (changed.has(null)) return;
    changed.clear();
    const read = await inTurn(ids, async (id) => sightOf(await readOne(port, id)) === sights.get(id));
    if (read.includes(false)) return;
  }
}

/** Of what the deployment manages, the newest first. */
const lossesIn = ({ input }: Comparison): readonly Loss[] =>
  [...input.live.values()]
    .filter(({ managedBy }) => managedBy === input.deployment)
    .flatMap(({ id, loss }) => (loss === null ? [] : [{ id, ...loss }]))
    .toSorted((a, b) => b.since - a.since)
    .slice(0, shownLosses);

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
    const losses = lossesIn(compared);
    const print = drift.length + losses.length === 0 ? '' : port.digest(canonicalJson([drift, losses]));
    if (print !== known) return { print, drift: drift.slice(0, shownDrift), count: drift.length, losses };
    await untilMoved({ port, signal, changed }, sightsOf(compared));
  }
}
