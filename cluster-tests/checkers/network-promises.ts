/**
 * What must hold of networks and ports in every record that is ever committed, and between records and what an observer
 * sees on the hosts: K17 to K20 of docs/promises.md. Pure functions of the store's facts and of the kernel's. Called by
 * simulation/cloud/cloud-scenario.ts at the end of a run.
 */
import { expandedPairs, type DeclaredPairs } from '@photoncloud/machines/values/address-pairs';
import type { KernelFact, Moves, Violation } from './kernel-facts.ts';
import type { StoreFact } from './store-facts.ts';

type Fields = Readonly<Record<string, unknown>>;
const fields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

interface Stored {
  readonly atMs: number;
  readonly actor: string;
  readonly uid: string;
  readonly isLive: boolean;
  readonly state: unknown;
  readonly context: Fields;
  readonly contextText: string;
}

/** One after the other, as they were written; `'rolled back'` where the store went back to an older copy. */
export function* recordsIn(facts: readonly StoreFact[]): Generator<Stored | 'rolled back'> {
  for (const fact of facts) {
    if (fact.fact === 'rolled back') yield 'rolled back';
    if (fact.fact !== 'record' || fact.fields['head'] === undefined) continue;
    const { uid, status, state } = JSON.parse(fact.fields['head']) as Fields;
    const contextText = fact.fields['context'] ?? 'null';
    yield {
      atMs: fact.atMs,
      actor: fact.actor,
      uid: String(uid),
      isLive: status === 'live' && state !== null,
      state,
      context: fields(JSON.parse(contextText)),
      contextText,
    };
  }
}

const kindOf = (actor: string): string => actor.slice(0, actor.indexOf('/'));
const scopeOf = (actor: string): string => actor.split('/')[1] ?? '';

/** A released address rests for ten minutes (network-addresses.ts); clocks of nodes differ by less than one. */
const restMs = 600_000 - 60_000;

interface Held {
  readonly port: string;
  readonly network: string;
  /** Its own first, then those of its pairs. */
  readonly addresses: readonly string[];
  readonly macs: readonly string[];
}

/** What a port has of its network; undefined before and after. */
function heldBy({ actor, isLive, context }: Stored): Held | undefined {
  const grant = fields(isLive ? context['grant'] : null);
  if (grant['address'] === undefined) return undefined;
  const { uid, network } = fields(grant['network']);
  const own = { address: String(grant['address']), mac: String(grant['mac']) };
  const pairs = expandedPairs((fields(context['spec'])['addressPairs'] ?? []) as DeclaredPairs, own);
  return {
    port: actor,
    network: `${String(network)} ${String(uid)}`,
    addresses: [own.address, ...pairs.map(({ address }) => address)],
    macs: [...new Set([own.mac, ...pairs.map(({ mac }) => mac)])],
  };
}

/**
 * K17: an address, also one of a pair, and a MAC of a network are recorded for one port at a time, and a released
 * address does not go to another port before it has rested.
 * @param clocksHold no clock was set while the run lasted: only then rests can be judged
 */
export function checkAddressHolders(facts: readonly StoreFact[], clocksHold: boolean): Violation[] {
  const held = new Map<string, Held>();
  const released = new Map<string, { readonly port: string; readonly atMs: number }>();
  const violations: Violation[] = [];
  for (const one of recordsIn(facts)) {
    if (one === 'rolled back') {
      held.clear();
      released.clear();
      continue;
    }
    if (kindOf(one.actor) !== 'port') continue;
    const { atMs, actor: port } = one;
    const [before, now] = [held.get(port), heldBy(one)];
    const isSame = before?.network === now?.network;
    for (const address of before?.addresses ?? [])
      if (!isSame || now?.addresses.includes(address) !== true)
        released.set(`${before?.network} ${address}`, { port, atMs });
    if (now === undefined) {
      held.delete(port);
      continue;
    }
    const name = now.network.split(' ')[0];
    for (const other of held.values()) {
      if (other.port === port || other.network !== now.network) continue;
      const shared = [
        ...now.addresses.filter((each) => other.addresses.includes(each)).map((each) => `address ${each}`),
        ...now.macs.filter((each) => other.macs.includes(each)).map((each) => `mac ${each}`),
      ];
      for (const what of shared)
        violations.push({
          checker: 'K17',
          atMs,
          what: `${what} of ${name} is recorded for ${port} and for ${other.port}`,
        });
    }
    for (const address of now.addresses) {
      const rest = released.get(`${now.network} ${address}`);
      const isNew = !isSame || before?.addresses.includes(address) !== true;
      if (!clocksHold || !isNew || rest === undefined || rest.port === port || atMs - rest.atMs >= restMs) continue;
      const rested = `${((atMs - rest.atMs) / 1000).toFixed(1)} s after ${rest.port} had it`;
      violations.push({ checker: 'K17', atMs, what: `${address} of ${name} went to ${port} ${rested}` });
    }
    held.set(port, now);
  }
  return violations;
}

interface Standing {
  readonly atMs: number;
  /** Hosts of the move that it makes; undefined while it makes none. */
  readonly move: { readonly from: string; readonly to: string } | undefined;
}

/**
 * For K4: a port moves from when its record makes the binding that stands by the active one, until the former is gone,
 * or stands by without the address. A binding that is prepared has a later run, and is no move.
 */
export function movesIn(facts: readonly StoreFact[]): Moves {
  const ports = new Map<string, Standing[]>();
  for (const one of recordsIn(facts)) {
    if (one === 'rolled back') ports.clear();
    else if (kindOf(one.actor) === 'port') {
      const { host, runEpoch, standby } = one.context;
      const { host: from, runEpoch: former } = fields(standby);
      const isMove = one.isLive && typeof from === 'string' && Number(former) < Number(runEpoch);
      const known = ports.get(one.actor) ?? [];
      ports.set(one.actor, known);
      known.push({ atMs: one.atMs, move: isMove ? { from, to: String(fields(host)['name']) } : undefined });
    }
  }
  return (port, { from, to }, atMs) => {
    const move = ports.get(port)?.findLast((one) => one.atMs <= atMs)?.move;
    return move?.from === from && move.to === to;
  };
}

/** Objects of the operator, which every tenant may name. */
const operatorScope = 'system';
const actorIds = /(?<=["'`])([a-z]+(?:-[a-z]+)*)\/([a-z0-9][a-z0-9-]*)\/[a-z0-9][^"'`\s\\]*(?=["'`])/g;

/**
 * K18: no record of a tenant names an object of another tenant, and no actor of a tenant writes to one of another.
 * @param kinds names of all kinds
 */
export function checkTenantReferences(facts: readonly StoreFact[], kinds: ReadonlySet<string>): Violation[] {
  const violations: Violation[] = [];
  const isForeign = (from: string, to: string): boolean =>
    from !== operatorScope && to !== operatorScope && from !== to;
  for (const one of recordsIn(facts)) {
    if (one === 'rolled back') continue;
    const scope = scopeOf(one.actor);
    for (const [id, kind = '', of = ''] of one.contextText.matchAll(actorIds))
      if (kinds.has(kind) && isForeign(scope, of))
        violations.push({ checker: 'K18', atMs: one.atMs, what: `the record of ${one.actor} names ${id}` });
  }
  for (const fact of facts) {
    if (fact.fact !== 'sent') continue;
    const { from, to, event } = fact.message;
    if (isForeign(scopeOf(from), scopeOf(to)))
      violations.push({ checker: 'K18', atMs: fact.atMs, what: `${from} sent ${event.type} to ${to}` });
  }
  return violations;
}

/**
 * K19: the generations of an object never fall and what is observed is never newer than what was declared; a host never
 * proves a section in an older generation than before.
 */
export function checkGenerations(facts: readonly StoreFact[], seen: readonly KernelFact[]): Violation[] {
  const violations: Violation[] = [];
  const known = new Map<string, { readonly uid: string; readonly generation: number; readonly observed: number }>();
  for (const one of recordsIn(facts)) {
    if (one === 'rolled back') {
      known.clear();
      continue;
    }
    const { atMs, actor, uid, context } = one;
    const { generation, observedGeneration: observed } = context;
    if (!one.isLive || typeof generation !== 'number' || typeof observed !== 'number') continue;
    const before = known.get(actor);
    const broken = (what: string): void => void violations.push({ checker: 'K19', atMs, what: `${actor}: ${what}` });
    if (observed > generation) broken(`observed generation ${observed}, declared ${generation}`);
    if (before?.uid === uid && generation < before.generation)
      broken(`its generation fell from ${before.generation} to ${generation}`);
    if (before?.uid === uid && observed < before.observed)
      broken(`its observed generation fell from ${before.observed} to ${observed}`);
    known.set(actor, { uid, generation, observed });
  }
  const proven = new Map<string, number>();
  for (const fact of seen) {
    if (fact.fact !== 'section.proven') continue;
    const { host, vpc, owner, section, generation, atMs } = fact;
    const key = [host, vpc, owner, section].join(' ');
    const before = proven.get(key) ?? 0;
    if (generation < before) {
      const what = `${host} proved generation ${generation} of ${section} of ${vpc} after ${before}`;
      violations.push({ checker: 'K19', atMs, what });
    }
    proven.set(key, generation);
  }
  return violations;
}

const wiringKey = (
  host: unknown,
  tap: unknown,
  port: unknown,
  address: unknown,
  mac: unknown,
  groups: unknown,
  pairs: unknown,
): string => {
  const addresses = ((pairs ?? []) as readonly { readonly address: string }[]).map((pair) => pair.address);
  return JSON.stringify([host, tap, port, address, mac, ((groups ?? []) as readonly string[]).toSorted(), addresses]);
};

/**
 * K20: a port is active only with a wiring that its host's kernel had: this tap, with the address and the MAC that the
 * network gave, and with the groups and address pairs of its proof. Once its newest spec counts as realized, these are
 * the groups of the spec.
 */
export function checkPortProofs(facts: readonly StoreFact[], seen: readonly KernelFact[]): Violation[] {
  const firstMs = new Map<string, number>();
  for (const fact of seen) {
    if (fact.fact !== 'tap.wired') continue;
    const key = wiringKey(fact.host, fact.tap, fact.port, fact.address, fact.mac, fact.groups, fact.pairs);
    if (!firstMs.has(key)) firstMs.set(key, fact.atMs);
  }
  const violations: Violation[] = [];
  for (const one of recordsIn(facts)) {
    if (one === 'rolled back' || !one.isLive || kindOf(one.actor) !== 'port' || one.state !== 'active') continue;
    const { atMs, actor, context } = one;
    const { proof, grant, host, spec, generation, observedGeneration } = context;
    const [{ tap, groups, pairs }, { address, mac }] = [fields(proof), fields(grant)];
    const { name } = fields(host);
    const broken = (what: string): void => void violations.push({ checker: 'K20', atMs, what: `${actor} ${what}` });
    const wiredMs = firstMs.get(wiringKey(name, tap, actor, address, mac, groups, pairs));
    if (wiredMs === undefined || wiredMs > atMs)
      broken(`is active on ${String(name)} by ${JSON.stringify(proof)}, and its kernel had no such wiring`);
    const names = (fields(spec)['securityGroups'] ?? ['default']) as readonly string[];
    const wanted = names.map((one_) => `security-group/${scopeOf(actor)}/${one_}`).toSorted();
    const proven = ((groups ?? []) as readonly string[]).toSorted();
    if (generation === observedGeneration && proven.join() !== wanted.join())
      broken(`counts as realized with ${wanted.join() || 'no group'}, and ${proven.join() || 'no group'} is proven`);
  }
  return violations;
}
