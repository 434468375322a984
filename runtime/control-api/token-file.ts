/**
 * Principals from a JSON file of token digests:
 *   [{"name": "ann", "sha256": "<64 hex>", "scope": "acme", "admin": false,
 *     "issued": "2026-01-01T00:00:00Z", "expires": "2027-01-01T00:00:00Z"}]
 * `scope` is a name, a list of names, or "*" for all. A token is refused from `expires` on, and when it was `issued` up
 * to a revocation of its name; without `issued` every revocation covers it. The file contains no token, so reading it
 * gives no access. It is read again when it changes; the sessions of a removed entry end. When the file becomes
 * unreadable or invalid, the last valid content stays in force and an error is logged.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { PhotonError } from '../contract/errors.ts';
import type { Clock } from '../contract/clock.ts';
import type { Log } from '../contract/log.ts';
import type { Principal } from './access-rule.ts';
import { followFile } from './file-watch.ts';
import type { Principals } from './principals.ts';

const word = z.string().regex(/^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$/);
const tokens = z
  .array(
    z.strictObject({
      name: word,
      sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be the SHA-256 of the token in lower case hex'),
      scope: z.union([z.literal('*'), word, z.array(word).min(1).max(1_000)]),
      admin: z.boolean().default(false),
      issued: z.iso.datetime({ offset: true }).optional(),
      expires: z.iso.datetime({ offset: true }).optional(),
    }),
  )
  .max(10_000);

interface Entry {
  readonly digest: string;
  readonly principal: Principal;
  readonly issuedMs: number;
  readonly expiresMs: number;
}

export interface TokenFile extends Principals {
  close(): void;
}

const digestOf = (token: string): string => createHash('sha256').update(token).digest('hex');

/** @throws PhotonError defeat `token_file_wrong`, which names the invalid field */
export function parseTokens(text: string, path: string): readonly Entry[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw wrong(path, 'is not JSON', error);
  }
  const parsed = tokens.safeParse(value);
  if (!parsed.success) throw wrong(path, `is wrong: ${z.prettifyError(parsed.error).replaceAll('\n', ' ')}`);
  return parsed.data.map(({ name, sha256, scope, admin, issued, expires }) => {
    const scopes = typeof scope === 'string' && scope !== '*' ? [scope] : scope;
    // The id depends on the whole entry, so that a changed entry ends the sessions that were opened with the old
    // rights.
    const id = createHash('sha256')
      .update(JSON.stringify([sha256, name, scopes, admin]))
      .digest('base64url')
      .slice(0, 22);
    return {
      digest: sha256,
      principal: { id, name, scopes: scopes as '*' | string[], admin },
      issuedMs: issued === undefined ? 0 : Date.parse(issued),
      expiresMs: expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(expires),
    };
  });
}

interface People {
  readonly byDigest: ReadonlyMap<string, Entry>;
  /** Every request of every session looks here whether its credential is still valid. */
  readonly byId: ReadonlyMap<string, Entry>;
}

/** Of two equal entries the first counts. */
function indexed(entries: readonly Entry[]): People {
  const reversed = entries.toReversed();
  return {
    byDigest: new Map(reversed.map((entry) => [entry.digest, entry])),
    byId: new Map(reversed.map((entry) => [entry.principal.id, entry])),
  };
}

const wrong = (path: string, why: string, cause?: unknown): PhotonError =>
  new PhotonError('defeat', 'token_file_wrong', `The token file ${path} ${why}; correct it.`, { cause });

export interface TokenFileOptions {
  readonly path: string;
  readonly log: Log;
  readonly clock: Clock;
  /** Whether tokens of this name that were issued then are revoked. Default: none are. */
  readonly isRevoked?: (name: string, issuedMs: number) => boolean;
  readonly pollMs?: number;
}

/** @throws PhotonError when the file cannot be read or is invalid at the start */
export function openTokenFile(options: TokenFileOptions): TokenFile {
  const { path, log, clock, isRevoked = () => false, pollMs = 1_000 } = options;
  const inForce = (entry: Entry | undefined): Principal | undefined => {
    if (entry === undefined || clock.wallMs() >= entry.expiresMs) return undefined;
    return isRevoked(entry.principal.name, entry.issuedMs) ? undefined : entry.principal;
  };
  const listeners: (() => void)[] = [];
  let text = '';
  let people: People = indexed([]);
  const read = (): void => {
    const found = readFileSync(path, 'utf8');
    if (found === text) return;
    people = indexed(parseTokens(found, path));
    text = found;
  };
  const readAgain = (): void => {
    const before = people;
    try {
      read();
    } catch (error) {
      log.error({ err: error, path }, 'the token file is unusable; the tokens read before stay in force');
      return;
    }
    if (people === before) return;
    log.info({ path, tokens: people.byDigest.size }, 'read the tokens again');
    for (const listener of listeners) listener();
  };
  const unfollow = followFile(path, pollMs, clock, readAgain);
  try {
    read();
  } catch (error) {
    unfollow();
    throw error;
  }

  return {
    // Looked up by the digest: how long that takes says nothing about the token, whose digest nobody can choose.
    byToken: (token) => inForce(people.byDigest.get(digestOf(token))),
    byId: (id) => inForce(people.byId.get(id)),
    onChange: (listener) => void listeners.push(listener),
    close: unfollow,
  };
}
