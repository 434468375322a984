/**
 * A hash of everything in a chart that a stored snapshot depends on: its states, the timers and effects they begin, and
 * the shape of a new actor's context as far as its values show it. It is stored with every snapshot (G9): the same
 * chart version with another hash means that the chart was changed without raising its version. Guards, actions and
 * transitions are not part of the hash: they may change without invalidating snapshots. Called at registration, and by
 * the check of kept versions.
 */
import { createHash } from 'node:crypto';
import type { ActorDefinition } from '../contract/actor-definition.ts';
import { structureOf } from '../contract/chart-structure.ts';
import { actorId } from '../contract/identifiers.ts';
import { decideInitial } from './decide.ts';

const shapeDepth = 4;

/** `{name:string,ports:[],spec:{cpus:number}}`; the items of lists are left out: most are empty in a new actor. */
function shapeOf(value: unknown, depth = 0): string {
  if (Array.isArray(value)) return '[]';
  if (value === null || typeof value !== 'object' || depth === shapeDepth)
    return value === null ? 'null' : typeof value;
  const fields = Object.entries(value).map(([key, inner]) => `${key}:${shapeOf(inner, depth + 1)}`);
  return `{${fields.toSorted().join()}}`;
}

/** Of an actor with a made-up name, which is never activated: only the shape of its context counts. */
function contextShape({ kind, placement, machine, input }: ActorDefinition): string {
  const id = actorId(`${kind}/sample/sample${placement === 'pinned' ? '@sample' : ''}`);
  try {
    return shapeOf(decideInitial(machine, input(id)).snapshot.context);
  } catch {
    // A chart that takes no such name shows no shape; its states still count.
    return 'unknown';
  }
}

/** 12 hexadecimal digits; the same on every machine and in every process. */
export function schemaHashOf(definition: ActorDefinition): string {
  const states = structureOf(definition.machine).states.map((state) => {
    const effects = state.entry
      .map(({ name }) => name)
      .filter((name) => name !== undefined && name in definition.effects);
    return `${state.id} ${state.type} ${effects.toSorted().join()} ${state.timers.toSorted().join()}`;
  });
  const text = [definition.kind, ...states.toSorted(), contextShape(definition), definition.specShape ?? ''].join('\n');
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}
