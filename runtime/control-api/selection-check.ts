/**
 * Checks that what a list or a watch selects by can exist at all: kinds of the registry, states of their charts. A
 * selection by a name that nothing has would be answered with an empty list, which looks like an answer. Kinds and
 * states are part of the program and not secret. Called by read-methods.ts and watch-methods.ts.
 */
import type { ActorDefinition, ActorRegistry } from '../contract/actor-definition.ts';
import { structureOf } from '../contract/chart-structure.ts';
import { reject } from '../contract/errors.ts';
import { parseActorId } from '../contract/identifiers.ts';
import { suggestion } from '../contract/suggestion.ts';

/** Names of the states of a chart, parents included: `preparing`, `preparing.tap`. */
export const statesOf = ({ machine }: ActorDefinition): string[] =>
  structureOf(machine)
    .states.filter(({ path }) => path.length > 0)
    .map(({ path }) => path.join('.'));

interface Selection {
  readonly kind?: string | undefined;
  readonly state?: string | undefined;
  readonly ids?: readonly string[] | undefined;
}

/** @throws PhotonError `no_such_kind`, `no_such_state` */
export function checkSelection({ kinds }: ActorRegistry, { kind, state, ids = [] }: Selection): void {
  if (kind !== undefined) checkKind(kinds, kind, 'kind');
  ids.forEach((id, at) => {
    const of = parseActorId(id)?.kind;
    if (of !== undefined) checkKind(kinds, of, `ids.${at}`);
  });
  if (state === undefined) return;
  const definitions = [...kinds.values()].filter((definition) => kind === undefined || definition.kind === kind);
  const states = definitions.flatMap(statesOf);
  // Regions of a parallel chart are joined by commas.
  const unknown = state.split(',').find((each) => !states.includes(each));
  if (unknown === undefined) return;
  const of = kind === undefined ? 'No kind has a state' : `${kind} has no state`;
  const text = `${of} ${unknown}; ${suggestion(unknown, states)}`;
  throw reject('no_such_state', text, [{ path: 'state', message: suggestion(unknown, states) }]);
}

function checkKind(kinds: ActorRegistry['kinds'], kind: string, path: string): void {
  if (kinds.has(kind)) return;
  const hint = suggestion(kind, [...kinds.keys()]);
  throw reject('no_such_kind', `There is no kind ${kind}; ${hint}`, [{ path, message: hint }]);
}
