/**
 * Seals the params of a command that its definition calls secret, before anything else sees them: the actor, the store
 * and its history get only the sealed text. What is shown of a secret is a mark; a client that sends the mark back
 * keeps the secret that the actor has. Called by command-methods.ts.
 */
import type { CommandDefinition } from '../contract/actor-definition.ts';
import { reject, type Issue } from '../contract/errors.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { ApiPorts } from './method-table.ts';

/** The form of secrets, and the key; passed in by the composition root. */
export interface SecretSealer {
  /** The same text of the same actor gives the same sealed text. */
  seal(actor: string, text: string): string;
  isMark(text: string): boolean;
  /** @returns the sealed text of this mark that is anywhere in the stored value */
  recall(mark: string, stored: unknown): string | undefined;
}

type Values = Record<string, unknown>;

interface Place {
  readonly path: string;
  readonly holder: Values;
  readonly field: string;
  readonly text: string;
}

const isObject = (value: unknown): value is Values => typeof value === 'object' && value !== null;

/** Where the params have a secret; null is none. */
function placesIn(params: unknown, paths: readonly string[]): readonly Place[] {
  return paths.flatMap((path) => {
    const fields = path.split('.');
    const field = fields.pop() ?? '';
    let holder: unknown = params;
    for (const name of fields) holder = isObject(holder) ? holder[name] : undefined;
    const text = isObject(holder) ? holder[field] : undefined;
    return isObject(holder) && typeof text === 'string' ? [{ path, holder, field, text }] : [];
  });
}

export const hasSecrets = (command: CommandDefinition, params: unknown): boolean =>
  placesIn(params, command.secrets ?? []).length > 0;

/** @throws rejection `secrets_unavailable`, `secret_unknown` */
export async function sealParams<Params>(
  { secrets, reader }: Pick<ApiPorts, 'secrets' | 'reader'>,
  command: CommandDefinition,
  id: ActorId,
  params: Params,
): Promise<Params> {
  const sealed = structuredClone(params);
  const places = placesIn(sealed, command.secrets ?? []);
  if (secrets === undefined) throw unavailable(places);
  const stored = places.some(({ text }) => secrets.isMark(text)) ? await reader.get(id) : undefined;
  for (const { path, holder, field, text } of places) {
    const known = secrets.isMark(text) ? secrets.recall(text, stored?.context) : secrets.seal(id, text);
    if (known === undefined) throw unknown(path, id);
    holder[field] = known;
  }
  return sealed;
}

function unavailable(places: readonly Place[]) {
  const issues = places.map(({ path }): Issue => ({ path, message: 'cannot be kept secret by this cluster yet' }));
  const advice = 'run photon node renew, which makes seal.key, and copy it into the folders of all nodes';
  return reject('secrets_unavailable', `This controller has no key for secrets; ${advice}.`, issues);
}

function unknown(path: string, id: ActorId) {
  const message = `is the mark of a secret that ${id} does not have; send the secret itself`;
  return reject('secret_unknown', `${path} ${message}.`, [{ path, message }]);
}
