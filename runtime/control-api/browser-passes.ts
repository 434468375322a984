/**
 * The credentials of browsers, which hold no token: a one-use secret (from `/open#...`), a signed session cookie, a
 * one-use ticket. Secrets and tickets are kept in this process only. The cookie is signed, so pages stay logged in over
 * a restart if the key is kept. Secret values come from node:crypto, not from the Random port, which a seed can replay.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { SharedClock } from '../contract/clock.ts';
import type { Principal } from './access-rule.ts';
import type { ApiLimits } from './api-limits.ts';
import type { Principals } from './principals.ts';

export interface BrowserPasses {
  /** @returns text for a URL's fragment; it can be used once */
  mintSecret(principal: Principal, ttlMs: number): string;
  spendSecret(secret: string): Principal | undefined;
  mintTicket(principal: Principal): string;
  spendTicket(ticket: string): Principal | undefined;
  /** The value of a session cookie. */
  sign(principal: Principal): string;
  read(cookie: string): Principal | undefined;
}

const maxHeld = 1_000;
const digestOf = (text: string): string => createHash('sha256').update(text).digest('base64url');

export function createBrowserPasses(options: {
  readonly principals: Principals;
  readonly clock: SharedClock;
  readonly limits: ApiLimits;
  /** 32 bytes or more. */
  readonly cookieKey: Uint8Array;
}): BrowserPasses {
  const { principals, clock, limits, cookieKey } = options;
  const held = { secret: new Map<string, Held>(), ticket: new Map<string, Held>() };

  const mint = (kind: keyof typeof held, principal: Principal, ttlMs: number): string => {
    const passes = held[kind];
    const nowMs = clock.monotonicMs();
    for (const [digest, pass] of passes) if (pass.endMs < nowMs) passes.delete(digest);
    for (const digest of passes.keys()) {
      if (passes.size < maxHeld) break;
      passes.delete(digest);
    }
    const text = randomBytes(24).toString('base64url');
    // The digest is kept, not the text: comparing digests reveals nothing about the text by its timing.
    passes.set(digestOf(text), { principal, endMs: nowMs + ttlMs });
    return text;
  };
  const spend = (kind: keyof typeof held, text: string): Principal | undefined => {
    const digest = digestOf(text);
    const pass = held[kind].get(digest);
    held[kind].delete(digest);
    if (pass === undefined || pass.endMs < clock.monotonicMs()) return undefined;
    return principals.byId(pass.principal.id);
  };
  const signatureOf = (payload: string): Buffer => createHmac('sha256', cookieKey).update(payload).digest();

  return {
    mintSecret: (principal, ttlMs) => mint('secret', principal, ttlMs),
    spendSecret: (secret) => spend('secret', secret),
    mintTicket: (principal) => mint('ticket', principal, limits.ticketTtlMs),
    spendTicket: (ticket) => spend('ticket', ticket),
    sign(principal) {
      const payload = `${clock.sharedMs() + limits.sessionTtlMs}.${Buffer.from(principal.id).toString('base64url')}`;
      return `${payload}.${signatureOf(payload).toString('base64url')}`;
    },
    read(cookie) {
      const [endMs = '', id = '', signature = '', more] = cookie.split('.');
      const given = Buffer.from(signature, 'base64url');
      const wanted = signatureOf(`${endMs}.${id}`);
      if (more !== undefined || given.length !== wanted.length || !timingSafeEqual(given, wanted)) return undefined;
      if (Number(endMs) < clock.sharedMs()) return undefined;
      return principals.byId(Buffer.from(id, 'base64url').toString());
    },
  };
}

interface Held {
  readonly principal: Principal;
  readonly endMs: number;
}
