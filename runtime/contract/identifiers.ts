/**
 * Names of actors and of the shards they belong to.
 *
 * An actor id is `<kind>/<scope>/<name>`; a pinned actor's name ends in `@<host>` and the actor lives in that host's
 * shard. What a scope means is the application's business. Everything that names an actor goes through `parseActorId`
 * once, at the door.
 */

export type ActorId = string & { readonly __brand: 'ActorId' };

/** `s<n>` for a sharded actor, `host:<name>` for a pinned one. It is also the Redis hash tag's name. */
export type ShardId = string & { readonly __brand: 'ShardId' };

export interface ActorIdParts {
  readonly kind: string;
  readonly scope: string;
  readonly name: string;
  /** Present only for a pinned actor. */
  readonly host?: string;
}

const word = '[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?';
const pattern = new RegExp(`^(${word})/(${word})/(${word}(?:\\.${word})?)(?:@(${word}))?$`);

/** @returns the parts, or undefined when the text is not an actor id. */
export function parseActorId(text: string): ActorIdParts | undefined {
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const [, kind, scope, name, host] = match as unknown as [string, string, string, string, string | undefined];
  return host === undefined ? { kind, scope, name } : { kind, scope, name, host };
}

/** @throws TypeError when the text is not an actor id: callers pass text they have built or already validated. */
export function actorId(text: string): ActorId {
  if (parseActorId(text) === undefined) throw new TypeError(`not an actor id: ${JSON.stringify(text.slice(0, 120))}`);
  return text as ActorId;
}

export function partsOf(id: ActorId): ActorIdParts {
  const parts = parseActorId(id);
  if (parts === undefined) throw new TypeError(`not an actor id: ${id}`);
  return parts;
}
