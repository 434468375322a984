/**
 * Who may touch what: one function, asked by every read, command, reference and watch. A foreign actor and one
 * that does
 * not exist give the same answer in the same words, built only from what the caller sent.
 */
import { reject, type PhotonError } from '../contract/errors.ts';
import { parseActorId, type ActorId, type ActorIdParts } from '../contract/identifiers.ts';

export interface Principal {
  /** Unique per credential; a replaced or altered credential has another. */
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly string[] | '*';
  /** Operators: may ask commands of permission `admin`. */
  readonly admin: boolean;
}

/**
 * `administer`: a command of permission `admin`. `refer`: the scope is that of the command that names the actor.
 */
export type Verb = 'read' | 'command' | 'administer' | 'refer';

/**
 * @param scope the scope in which the principal acts
 * @param id the actor, or undefined for the scope as a whole
 */
export function mayTouch(principal: Principal, scope: string, verb: Verb, id?: ActorIdParts): boolean {
  if (principal.scopes !== '*' && !principal.scopes.includes(scope)) return false;
  if (verb === 'administer' && !principal.admin) return false;
  // For `refer` too and for operators too: nobody joins actors of two scopes.
  return id === undefined || id.scope === scope;
}

export const notFound = (what: string): PhotonError =>
  reject('not_found', `There is no ${what} here, or it is not yours; look with actor.list.`);

/**
 * @throws PhotonError `not_found` when it is malformed, foreign or of an unknown kind: indistinguishable on
 * purpose.
 */
export function readableId(principal: Principal, text: string): { readonly id: ActorId; readonly parts: ActorIdParts } {
  const parts = parseActorId(text);
  if (parts === undefined || !mayTouch(principal, parts.scope, 'read', parts)) throw notFound(text);
  return { id: text as ActorId, parts };
}
