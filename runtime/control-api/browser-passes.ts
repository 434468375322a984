/**
 * The credentials of browsers, which hold no token: a one-use secret (from `/open#...`), a signed session cookie, a
 * one-use ticket. Secrets and tickets are kept in this process only, so many per principal: whoever asks for more voids
 * its own oldest, never another's. The cookie is signed, so pages stay logged in over a restart if the key is kept.
 * A logout revokes the browser session and all that came of it: cookie, tickets, secrets, and sessions opened by those.
 * Secret values come from node:crypto, not from the Random port, which a seed can replay.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock, SharedClock } from '../contract/clock.ts';
import type { Principal } from './access-rule.ts';
import type { ApiLimits } from './api-limits.ts';
import { memoryLogouts, type Logouts } from './logout-file.ts';
import type { Principals } from './principals.ts';

/** Who a credential of a browser stands for. */
export interface Pass {
  readonly principal: Principal;
  /** The browser session that it belongs to, if any; a secret made with a token begins a new one. */
  readonly browser: string | undefined;
}

export interface BrowserPasses {
  /** @returns text for a URL's fragment; it can be used once */
  mintSecret(principal: Principal, ttlMs: number, browser?: string): string;
  spendSecret(secret: string): Pass | undefined;
  mintTicket(pass: Pass): string;
  spendTicket(ticket: string): Pass | undefined;
  /** The value of a session cookie, of a new browser session unless one is named. */
  sign(principal: Principal, browser?: string): string;
  read(cookie: string): Pass | undefined;
  /** Ends the browser session of a valid cookie. */
  revoke(cookie: string): void;
  isRevoked(browser: string): boolean;
}

interface Held extends Pass {
  readonly endMs: number;
}

const digestOf = (text: string): string => createHash('sha256').update(text).digest('base64url');

/** One-use passes of one kind. */
class HeldPasses {
  readonly #limits: Pick<ApiLimits, 'maxPasses'>;
  readonly #clock: Clock;
  readonly #byDigest = new Map<string, Held>();
  /** Name of the principal -> digests of its passes, oldest first. */
  readonly #ofPrincipal = new Map<string, string[]>();

  constructor(limits: Pick<ApiLimits, 'maxPasses'>, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  mint(pass: Pass, ttlMs: number): string {
    const { name } = pass.principal;
    const nowMs = this.#clock.monotonicMs();
    const all = (this.#ofPrincipal.get(name) ?? []).filter((digest) => this.#isUsable(digest, nowMs));
    const excess = all.splice(0, Math.max(0, all.length + 1 - this.#limits.maxPasses));
    for (const digest of excess) this.#byDigest.delete(digest);
    const text = randomBytes(24).toString('base64url');
    // The digest is kept, not the text: comparing digests reveals nothing about the text by its timing.
    const digest = digestOf(text);
    this.#byDigest.set(digest, { ...pass, endMs: nowMs + ttlMs });
    this.#ofPrincipal.set(name, [...all, digest]);
    return text;
  }

  spend(text: string): Pass | undefined {
    const digest = digestOf(text);
    const isUsable = this.#isUsable(digest, this.#clock.monotonicMs());
    const pass = this.#byDigest.get(digest);
    this.#byDigest.delete(digest);
    return isUsable ? pass : undefined;
  }

  #isUsable(digest: string, nowMs: number): boolean {
    const pass = this.#byDigest.get(digest);
    if (pass === undefined) return false;
    if (nowMs <= pass.endMs) return true;
    this.#byDigest.delete(digest);
    return false;
  }
}

export function createBrowserPasses(options: {
  readonly principals: Principals;
  readonly clock: SharedClock;
  readonly limits: ApiLimits;
  /** 32 bytes or more. */
  readonly cookieKey: Uint8Array;
  readonly logouts?: Logouts;
}): BrowserPasses {
  const { principals, clock, limits, cookieKey, logouts = memoryLogouts(clock) } = options;
  const secrets = new HeldPasses(limits, clock);
  const tickets = new HeldPasses(limits, clock);

  /** The pass with what its principal may do now; undefined when its credential or its browser session has ended. */
  const current = (pass: Pass | undefined): Pass | undefined => {
    if (pass === undefined || (pass.browser !== undefined && logouts.has(pass.browser))) return undefined;
    const principal = principals.byId(pass.principal.id);
    return principal === undefined ? undefined : { principal, browser: pass.browser };
  };
  const signatureOf = (payload: string): Buffer => createHmac('sha256', cookieKey).update(payload).digest();
  const readSigned = (cookie: string): { readonly endMs: number; readonly pass: Pass } | undefined => {
    const [endMs = '', id = '', browser = '', signature = '', more] = cookie.split('.');
    const given = Buffer.from(signature, 'base64url');
    const wanted = signatureOf(`${endMs}.${id}.${browser}`);
    if (more !== undefined || given.length !== wanted.length || !timingSafeEqual(given, wanted)) return undefined;
    if (Number(endMs) < clock.sharedMs()) return undefined;
    const principal = principals.byId(Buffer.from(id, 'base64url').toString());
    const pass = principal === undefined ? undefined : current({ principal, browser });
    return pass === undefined ? undefined : { endMs: Number(endMs), pass };
  };

  return {
    mintSecret: (principal, ttlMs, browser) => secrets.mint({ principal, browser }, ttlMs),
    spendSecret: (secret) => current(secrets.spend(secret)),
    mintTicket: (pass) => tickets.mint(pass, limits.ticketTtlMs),
    spendTicket: (ticket) => current(tickets.spend(ticket)),
    sign(principal, browser = randomBytes(12).toString('base64url')) {
      const endMs = clock.sharedMs() + limits.sessionTtlMs;
      const payload = `${endMs}.${Buffer.from(principal.id).toString('base64url')}.${browser}`;
      return `${payload}.${signatureOf(payload).toString('base64url')}`;
    },
    read: (cookie) => readSigned(cookie)?.pass,
    revoke(cookie) {
      const signed = readSigned(cookie);
      if (signed?.pass.browser !== undefined) {
        // A secret of this session may have renewed it, for as long as a session lasts from now.
        logouts.add(signed.pass.browser, clock.sharedMs() + limits.sessionTtlMs, signed.pass.principal.name);
      }
    },
    isRevoked: (browser) => logouts.has(browser),
  };
}
