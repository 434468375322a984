/**
 * What was given up on hosts that are silent: runs of VMs that declare `hostFailurePolicy: elsewhere`, and the bindings
 * of their ports, as the records say; and what every host drops of another one, as its kernel says. A run that was
 * given up may go on while the next one does (K1), and its tap may keep the addresses (K3, K4), if every host with a
 * guest in the VPC drops what comes from there. That it writes nothing any more is K21. Pure. Used by kernel-facts.ts
 * and simulation/cloud/cloud-scenario.ts (docs/decisions/0024-runs-on-silent-hosts.md).
 */
import type { KernelFact } from './kernel-facts.ts';
import { recordsIn } from './network-promises.ts';
import type { StoreFact } from './store-facts.ts';

type Fields = Readonly<Record<string, unknown>>;
const fields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

/** On a host, in this run of the VM. */
export interface Place {
  readonly host: string;
  readonly runEpoch?: number;
  /** When its process began: of a VM that was declared anew, runs are counted anew. */
  readonly sinceMs?: number;
}

export interface GivenUp {
  /** Whether the VM had left this run behind by then. */
  readonly hasRun: (vm: string, run: Place, atMs: number) => boolean;
  /** Silent hosts, which were not waited for; undefined: the port had not given up its binding there. */
  readonly absentFor: (port: string, binding: Place, atMs: number) => readonly string[] | undefined;
}

export const nothingGivenUp: GivenUp = { hasRun: () => false, absentFor: () => undefined };

interface Left {
  readonly atMs: number;
  readonly host: string;
  /** Of the last run that may be there. */
  readonly runEpoch: number;
}

interface KnownVm {
  readonly uid: string;
  readonly runEpoch: number;
  readonly leftAt: unknown;
  readonly left: readonly Left[];
}

interface KnownPort {
  readonly atMs: number;
  readonly abandoned: readonly { readonly host: Fields; readonly runEpoch: number; readonly absent: string[] }[];
}

export function givenUpIn(facts: readonly StoreFact[]): GivenUp {
  const vms = new Map<string, KnownVm>();
  const ports = new Map<string, KnownPort[]>();
  for (const one of recordsIn(facts)) {
    if (one === 'rolled back') {
      vms.clear();
      ports.clear();
      continue;
    }
    const { actor, atMs, uid, context } = one;
    if (actor.startsWith('vm/') && one.isLive) {
      const { host, leftAt } = fields(context['lastLoss']);
      const before = vms.get(actor);
      const same = before?.uid === uid ? before : undefined;
      const hasLeft = leftAt !== undefined && same !== undefined && leftAt !== same.leftAt;
      const left = hasLeft ? [{ atMs, host: String(host), runEpoch: same.runEpoch }] : [];
      const runEpoch = Number(context['runEpoch']);
      // What was left behind may run on after the VM was deleted.
      vms.set(actor, { uid, runEpoch, leftAt, left: [...(before?.left ?? []), ...left] });
    }
    if (actor.startsWith('port/')) {
      const abandoned = (one.isLive ? (context['abandoned'] ?? []) : []) as KnownPort['abandoned'];
      const known = ports.get(actor) ?? [];
      ports.set(actor, known);
      known.push({ atMs, abandoned });
    }
  }
  return {
    hasRun: (vm, { host, runEpoch = Infinity, sinceMs = 0 }, atMs) =>
      vms
        .get(vm)
        ?.left.some(
          (one) => one.host === host && runEpoch <= one.runEpoch && sinceMs <= one.atMs && one.atMs <= atMs,
        ) === true,
    absentFor: (port, { host, runEpoch }, atMs) =>
      ports
        .get(port)
        ?.findLast((one) => one.atMs <= atMs)
        ?.abandoned.find((one) => one.host['name'] === host && one.runEpoch === runEpoch)?.absent,
  };
}

/** What each host drops in a VPC, and the indexes of hosts there. */
export class Fences {
  readonly #indexes = new Map<string, number>();
  readonly #dropped = new Map<string, ReadonlySet<string>>();

  take(fact: KernelFact): void {
    if (fact.fact !== 'segment.up' && fact.fact !== 'segment.gone' && fact.fact !== 'segment.fenced') return;
    const key = `${fact.host} ${fact.vpc}`;
    if (fact.fact === 'segment.gone') this.#dropped.delete(key);
    else if (fact.fact === 'segment.fenced') this.#dropped.set(key, new Set(fact.dropped));
    else if (fact.index !== undefined) this.#indexes.set(key, fact.index);
  }

  /** Whether the host drops what comes from the other one with any of these addresses. */
  drops(host: string, vpc: string, from: string, addresses: readonly string[]): boolean {
    const dropped = this.#dropped.get(`${host} ${vpc}`);
    const index = this.#indexes.get(`${from} ${vpc}`);
    return addresses.every((address) => dropped?.has(`${index} ${address}`) === true);
  }
}
