/**
 * Admits a kind of actor: checks its definition and prepares what every step needs, once.
 * It does not look into the store; whether old snapshots can be loaded is checked at load (G9).
 * Called by the host for every kind at start, and by tests of charts (`registerKind` throws with all problems at once).
 */
import type { AnyStateMachine } from 'xstate';
import type { ActorDefinition, ActorRegistry } from '../contract/actor-definition.ts';
import { durabilities } from '../contract/durability.ts';
import { nameOf, structureOf } from '../contract/chart-structure.ts';
import type { Durability, DurabilityOffer } from '../contract/durability.ts';
import { PhotonError } from '../contract/errors.ts';
import { operatorKind } from '../contract/supervision.ts';
import { chartProblems, listens, vocabulary } from './chart-check.ts';
import { schemaHashOf } from './schema-hash.ts';

/** A definition that has been checked, with its lookups. */
export interface RegisteredKind {
  readonly definition: ActorDefinition;
  readonly machine: AnyStateMachine;
  /** Effect type -> paths of the states that ask for it on entry; at most one of them is active at any time. */
  readonly effectStates: ReadonlyMap<string, readonly (readonly string[])[]>;
  /** Event types that may start an actor, from a command or from another actor. */
  readonly startedByCommand: ReadonlySet<string>;
  readonly startedByMessage: ReadonlySet<string>;
  /** Commands that a full node takes. */
  readonly exempt: ReadonlySet<string>;
  readonly ignored: ReadonlySet<string>;
  /** The level of its commits, and what may be asked for in its place. */
  readonly durability: Durability;
  readonly offered: readonly Durability[];
  /** Of what snapshots depend on; goes with every snapshot. */
  readonly schemaHash: string;
}

/** A chart that has not come to rest after so many microsteps is in a cycle; XState's own default is never. */
const maxIterations = 1000;

const kindName = /^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$/;

type Enqueue = ((action: unknown) => void) & Readonly<Record<string, (...args: readonly never[]) => void>>;
type Collect = (scope: Readonly<Record<string, unknown>> & { readonly enqueue: Enqueue }, params: unknown) => void;

const guarded = new WeakSet<object>();

/**
 * `enqueueActions` computes its requests when it runs, so only then can be seen what it asks for: requests of the
 * vocabulary, assigns and raises pass; an effect (which must be an entry action) and anything else throws, and the
 * input that led there is parked.
 */
function guardEnqueued(machine: AnyStateMachine, kind: string): void {
  for (const [name, queued] of structureOf(machine).actions) {
    if (queued?.type !== 'xstate.enqueueActions' || guarded.has(queued)) continue;
    guarded.add(queued);
    const collect = queued.collect as Collect;
    const refuse = (what: string): never => {
      const text = `action ${name} of ${kind} enqueued ${what}, which is no request, assign or raise. Correct it.`;
      throw new PhotonError('bug', 'request_malformed', text);
    };
    queued.collect = (scope: Parameters<Collect>[0], params) => {
      const plain = (asked: unknown): void => {
        const request = nameOf(asked);
        if (request === undefined || !vocabulary.has(request)) refuse(request ?? 'an unnamed action');
        scope.enqueue(asked);
      };
      const { assign, raise } = scope.enqueue;
      collect({ ...scope, enqueue: Object.assign(plain, { assign, raise }) as unknown as Enqueue }, params);
    };
  }
}

const everyLevel: DurabilityOffer = { default: 'primary', offered: durabilities };

/** All reasons why this definition cannot be hosted; empty when it can. */
export function definitionProblems(definition: ActorDefinition, { offered } = everyLevel): readonly string[] {
  const { machine, kind } = definition;
  const problems = [...chartProblems(machine, Object.keys(definition.effects), definition.ignored ?? [])];
  if (!kindName.test(kind)) problems.push(`the kind ${JSON.stringify(kind)} is not a lower-case word`);
  if (kind === operatorKind) problems.push(`the kind ${kind} is the word of operators' verbs`);
  if (!Number.isInteger(definition.chartVersion) || definition.chartVersion < 1) {
    problems.push(`chartVersion ${definition.chartVersion} is not a whole number from 1`);
  }
  if (definition.durability !== undefined && !offered.includes(definition.durability)) {
    problems.push(`durability ${definition.durability} is none the store keeps, which are ${offered.join(', ')}`);
  }
  for (const name of Object.keys(definition.effects)) {
    if (vocabulary.has(name) || name.startsWith('xstate.')) problems.push(`effect name ${name} is taken by the host`);
  }
  const { states } = structureOf(machine);
  const heard = (event: string): boolean => states.some((state) => listens(state, event));
  for (const name of Object.keys(definition.commands)) {
    if (!heard(`${kind}.${name}`)) problems.push(`command ${name}: no state listens to ${kind}.${name}`);
  }
  for (const event of definition.createdBy) {
    if (!heard(event)) problems.push(`createdBy ${event}: no state listens to it`);
  }
  return problems;
}

/** @throws PhotonError bug `chart_refused`, naming every problem. */
export function registerKind(definition: ActorDefinition, offer = everyLevel): RegisteredKind {
  const problems = definitionProblems(definition, offer);
  if (problems.length > 0) {
    const text = `${definition.kind} cannot be hosted: ${problems.join('; ')}. Correct the chart or its definition.`;
    throw new PhotonError('bug', 'chart_refused', text);
  }
  const { machine, kind } = definition;
  if (machine.options.maxIterations === Infinity) machine.options.maxIterations = maxIterations;
  guardEnqueued(machine, kind);
  const effectStates = new Map<string, (readonly string[])[]>();
  for (const state of structureOf(machine).states) {
    for (const { name } of state.entry) {
      if (name === undefined || !(name in definition.effects)) continue;
      effectStates.set(name, [...(effectStates.get(name) ?? []), state.path]);
    }
  }
  const commandsWith = (trait: 'creates' | 'exemptFromOverload'): ReadonlySet<string> => {
    const having = Object.entries(definition.commands).filter(([, command]) => command[trait] === true);
    return new Set(having.map(([name]) => `${kind}.${name}`));
  };
  return {
    definition,
    machine,
    effectStates,
    startedByCommand: commandsWith('creates'),
    startedByMessage: new Set(definition.createdBy),
    exempt: commandsWith('exemptFromOverload'),
    ignored: new Set(definition.ignored ?? []),
    durability: definition.durability ?? offer.default,
    offered: offer.offered,
    schemaHash: schemaHashOf(definition),
  };
}

/** @throws PhotonError bug `chart_refused` for the first kind that cannot be hosted. */
export function registerKinds(registry: ActorRegistry, offer = everyLevel): ReadonlyMap<string, RegisteredKind> {
  const kinds = new Map<string, RegisteredKind>();
  for (const [kind, definition] of registry.kinds) kinds.set(kind, registerKind(definition, offer));
  return kinds;
}
