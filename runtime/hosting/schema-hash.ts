/**
 * One word for everything of a chart that a stored snapshot depends on: its states, the timers and effects they
 * begin, and the shape of a new actor's context as far as its values show it. Goes with every snapshot (G9): the same
 * chart version with another hash is a chart somebody changed without saying so. Not in it: guards, actions and
 * transitions, which may change under a snapshot. Called at registration, and by the check of kept versions.
 */
import { createHash } from 'node:crypto';
import type { ActorDefinition } from '../contract/actor-definition.ts';
import { actorId } from '../contract/identifiers.ts';
import { nameOf, rootOf, statesOf } from './chart-check.ts';
import { decideInitial } from './decide.ts';

const shapeDepth = 4;

/** `{name:string,ports:[],spec:{cpus:number}}`; what a list holds is not looked at: most are empty at birth. */
function shapeOf(value: unknown, depth = 0): string {
  if (Array.isArray(value)) return '[]';
  if (value === null || typeof value !== 'object' || depth === shapeDepth)
    return value === null ? 'null' : typeof value;
  const fields = Object.entries(value).map(([key, inner]) => `${key}:${shapeOf(inner, depth + 1)}`);
  return `{${fields.toSorted().join()}}`;
}

/** An actor that never lives, of any name: only the shape of its context counts. */
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
  const states = [...statesOf(rootOf(definition.machine))].map((state) => {
    const effects = state.entry.map(nameOf).filter((name) => name !== undefined && name in definition.effects);
    const timers = Object.keys(state.config.after ?? {});
    return `${state.id} ${state.type} ${effects.toSorted().join()} ${timers.toSorted().join()}`;
  });
  const text = [definition.kind, ...states.toSorted(), contextShape(definition), definition.specShape ?? ''].join('\n');
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}
