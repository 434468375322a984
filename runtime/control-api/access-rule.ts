/**
 * The access rule: one function that every read, command, reference and watch calls. For an actor of another scope and
 * for one that does not exist the caller gets the same answer, which contains only text that the caller sent.
 */
import { reject, type PhotonError } from '../contract/errors.ts';
import { parseActorId, type ActorId, type ActorIdParts } from '../contract/identifiers.ts';

export interface Principal {
  /** Unique per credential; a replaced or altered credential has another. */
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly string[] | '*';
  /** True for operators: they may send commands of permission `admin`. */
  readonly admin: boolean;
}

/**
 * `administer`: a command of permission `admin`. `refer`: a command's params name the actor; the scope is the
 * command's. `use`: the same for an actor that serves other scopes; whether it serves this one, its spec says, and the
 * caller of this function reads that.
 */
export type Verb = 'read' | 'command' | 'administer' | 'refer' | 'use';

/**
 * @param scope the scope in which the principal acts
 * @param id the actor, or undefined for the scope as a whole
 */
export function mayTouch(principal: Principal, scope: string, verb: Verb, id?: ActorIdParts): boolean {
  if (principal.scopes !== '*' && !principal.scopes.includes(scope)) return false;
  if (verb === 'administer' && !principal.admin) return false;
  // What runs on a host is named after it; which hosts there are is for operators.
  if (verb === 'read' && id?.host !== undefined && !principal.admin) return false;
  if (verb === 'use') return true;
  // This holds for operators and for `refer` too: no command connects actors of two scopes without a grant.
  return id === undefined || id.scope === scope;
}

/** Who pays for what a principal costs: its scope, or itself when it has several. A scope's name has no space. */
export const payerOf = ({ name, scopes }: Principal): string =>
  scopes !== '*' && scopes.length === 1 && scopes[0] !== undefined ? scopes[0] : `principal ${name}`;

export const notFound = (what: string): PhotonError =>
  reject('not_found', `There is no ${what} here, or it is not yours; look with actor.list.`);

/**
 * @throws PhotonError `not_found` when the id is malformed, of another scope or of an unknown kind: the caller must not
 * be able to tell these apart
 */
export function readableId(principal: Principal, text: string): { readonly id: ActorId; readonly parts: ActorIdParts } {
  const parts = parseActorId(text);
  if (parts === undefined || !mayTouch(principal, parts.scope, 'read', parts)) throw notFound(text);
  return { id: text as ActorId, parts };
}
