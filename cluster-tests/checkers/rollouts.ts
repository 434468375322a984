/**
 * What must hold of rollouts: K27 of docs/promises.md. An observer of the hosts sees which of them are between their
 * switch and its end; the records of the store say how many may be, and when one was known to have failed. Pure. Called
 * by simulation/cloud/cloud-scenario.ts and settled-cloud.ts.
 */
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import type { KernelFact, Violation } from './kernel-facts.ts';
import { recordsIn } from './network-promises.ts';
import type { StoreFact } from './store-facts.ts';

const checker = 'K27';
const working = new Set(['staged', 'activating', 'probing', 'awaiting-confirmation', 'rolling-back']);

interface Line {
  readonly host: string;
  readonly told: string;
  readonly phase: string;
}
interface Stored {
  readonly uid: string;
  readonly spec: { readonly maxParallel: number } | null;
  readonly hosts: readonly Line[];
}

/** The rollouts of the store by uid, with the host that is activated first. */
function rolloutsIn(facts: readonly StoreFact[]): ReadonlyMap<string, { most: number; canary: string; id: string }> {
  const found = new Map<string, { most: number; canary: string; id: string }>();
  for (const one of recordsIn(facts)) {
    if (one === 'rolled back' || !one.actor.startsWith('rollout/')) continue;
    const { uid, spec, hosts = [] } = one.context as unknown as Partial<Stored>;
    if (uid === undefined || !spec || hosts.length === 0) continue;
    found.set(uid, { most: spec.maxParallel, canary: hosts[0]?.host ?? '', id: one.actor });
  }
  return found;
}

/** K27: at most `maxParallel` hosts of a rollout are between switch and end, and none is before the canary is kept. */
export function checkHostsUnderWay(kernel: readonly KernelFact[], store: readonly StoreFact[]): Violation[] {
  const rollouts = rolloutsIn(store);
  const states = new Map<string, Map<string, string>>();
  const violations: Violation[] = [];
  for (const fact of kernel) {
    if (fact.fact !== 'system.step') continue;
    const { atMs, host, request, state } = fact;
    const rollout = rollouts.get(request);
    if (rollout === undefined) continue;
    const hosts = states.get(request) ?? new Map<string, string>();
    states.set(request, hosts.set(host, state));
    if (!working.has(state)) continue;
    const { id, most, canary } = rollout;
    const busy = [...hosts].filter(([, is]) => working.has(is)).map(([name]) => name);
    const broken = (what: string): void => void violations.push({ checker, atMs, what: `${id}: ${what}` });
    if (busy.length > most) broken(`${busy.join(', ')} are activated at once, and ${most} may be`);
    if (host !== canary && hosts.get(canary) !== 'confirmed')
      broken(`${host} is activated, and the canary ${canary} is ${hosts.get(canary) ?? 'not asked'}`);
  }
  return violations;
}

const broken = new Set(['refused', 'rolledBack', 'failed']);

/** K27: once a host is known to have failed, no further one is told to activate its system. */
export function checkStops(facts: readonly StoreFact[]): Violation[] {
  const known = new Map<
    string,
    { readonly uid: string; readonly isBroken: boolean; readonly told: ReadonlySet<string> }
  >();
  const violations: Violation[] = [];
  for (const one of recordsIn(facts)) {
    if (one === 'rolled back') known.clear();
    else if (one.actor.startsWith('rollout/')) {
      const { uid = '', hosts = [] } = one.context as unknown as Partial<Stored>;
      const told = new Set(hosts.filter((line) => ['activate', 'confirm'].includes(line.told)).map(({ host }) => host));
      const before = known.get(one.actor);
      const more = [...told].filter((host) => before?.uid === uid && before.isBroken && !before.told.has(host));
      for (const host of more)
        violations.push({
          checker,
          atMs: one.atMs,
          what: `${one.actor} tells ${host} to activate after one has failed`,
        });
      known.set(one.actor, { uid, isBroken: hosts.some(({ phase }) => broken.has(phase)), told });
    }
  }
  return violations;
}

/** Of a settled cloud: the turn belongs to a rollout that is under way, or to none. */
export function wrongTurn(live: ReadonlyMap<string, StoredActor>): readonly string[] {
  const cluster = [...live.values()].find(({ id }) => id.startsWith('cluster/'));
  const { rollout = null } = (cluster?.context ?? {}) as { readonly rollout?: string | null };
  if (rollout === null) return [];
  const state = live.get(rollout)?.state;
  if (state === undefined) return [`the cluster waits for ${rollout}, which does not exist`];
  return ['completed', 'failed', 'aborted'].includes(String(state))
    ? [`the cluster waits for ${rollout}, which is ${String(state)}`]
    : [];
}
