/**
 * Which object a command line means: `vm web-1` in the session's tenant, `vm/web-1`, or the full id `vm/acme/web-1`.
 * A kind that does not exist is an error here, because the server answers an unknown kind like an unknown object.
 */
import { allKinds, declaredKinds } from '@photoncloud/machines/kinds';
import { idOf, systemTenant, tenantId } from '@photoncloud/machines/values/identifiers';
import { PhotonError, reject } from '@photoncloud/runtime/contract/errors';
import { parseActorId } from '@photoncloud/runtime/contract/identifiers';
import { suggestion } from '@photoncloud/runtime/contract/suggestion';
import type { Session } from './cli-session.ts';

/** Kinds whose objects belong to no tenant. */
const ofSystem = [
  'host',
  'cluster',
  'agent',
  ...declaredKinds.filter(({ declared }) => declared?.ofSystem === true).map(({ kind }) => kind),
];

/** In words, for a refusal. */
export const nameRule = 'a name is 1 to 40 of a-z, 0-9 and inner hyphens, and begins with a letter';

const kindNames = allKinds.map(({ kind }) => kind);

/** @throws rejection `no_such_kind`, which names the kind that was probably meant */
export function checkKind(kind: string): void {
  if (kindNames.includes(kind)) return;
  throw reject('no_such_kind', `There is no kind ${kind}; ${suggestion(kind, kindNames)}`);
}

function idFrom(session: Session, kind: string, name: string): string {
  checkKind(kind);
  if (kind === 'tenant') return tenantId(name);
  return idOf(kind, ofSystem.includes(kind) ? systemTenant : session.tenant(), name);
}

function wholeId(session: Session, text: string): string {
  const [kind = '', ...rest] = text.split('/');
  checkKind(kind);
  const id = rest.length === 1 ? idFrom(session, kind, rest[0] ?? '') : text;
  if (parseActorId(id) === undefined)
    throw reject('name_invalid', `${text} is not the id of an object; write KIND/TENANT/NAME`);
  return id;
}

/** @param kind a kind when `name` is given, else an id */
export function targetOf(session: Session, kind: string, name: string | undefined): string {
  if (name === undefined) {
    if (kind.includes('/')) return wholeId(session, kind);
    checkKind(kind);
    throw new PhotonError('rejection', 'name_needed', `name an object: ${kind} NAME, or a full id`);
  }
  if (!name.includes('/')) return idFrom(session, kind, name);
  const id = wholeId(session, name);
  if (parseActorId(id)?.kind === kind) return id;
  throw reject('name_invalid', `${id} is no ${kind}; name a ${kind}`);
}

/**
 * The name by which an object refers to another one of its tenant.
 * @param owner id of the object that refers
 * @param text name or id, as it was typed
 */
export function nameBeside(session: Session, owner: string, kind: string, text: string): string {
  const [own, other] = [parseActorId(owner), parseActorId(targetOf(session, kind, text))];
  // What is no name at all is refused by the server, with the rule.
  if (!text.includes('/') || other === undefined) return text;
  if (other.scope === own?.scope) return other.name;
  throw reject('name_invalid', `${text} is of another tenant than ${owner}; name a ${kind} of ${own?.scope}`);
}

/** Several objects: a kind and names, or full ids. */
export function targetsOf(session: Session, words: readonly string[]): string[] {
  const [first = '', ...names] = words;
  if (first.includes('/')) return words.map((word) => wholeId(session, word));
  if (names.length === 0) return [targetOf(session, first, undefined)];
  return names.map((name) => targetOf(session, first, name));
}

/** Ids of objects in the order in which they can be deleted: an object before those that it refers to. */
export function inDeleteOrder(ids: readonly string[]): string[] {
  const order = declaredKinds.map(({ kind }) => kind);
  const rank = (id: string): number => order.indexOf(parseActorId(id)?.kind ?? '');
  return [...new Set(ids)].sort((a, b) => rank(b) - rank(a));
}
