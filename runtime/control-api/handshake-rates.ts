/**
 * How often credentials may be shown: those that are right count for their principal, those that are wrong for the
 * address that they came from. Behind a relay everybody has the same address, so an address is never refused for what
 * others do there: a right credential is accepted however many wrong ones came before.
 */
import type { IncomingMessage } from 'node:http';
import type { Clock } from '../contract/clock.ts';
import type { Principal } from './access-rule.ts';
import { RateLimits } from './rate-limit.ts';

export interface HandshakeRates {
  /** 0, or the time in ms after which the principal may open another session or ask for another pass. */
  of(principal: Principal): number;
  /** 0, or the time in ms after which the address should try again; its credential is wrong in both cases. */
  ofWrong(request: IncomingMessage): number;
}

export function createHandshakeRates(perS: number, clock: Clock): HandshakeRates {
  const ofPrincipals = new RateLimits(perS, perS);
  const ofAddresses = new RateLimits(perS, perS);
  return {
    of: ({ name }) => ofPrincipals.take(name, clock.monotonicMs()),
    ofWrong: (request) => ofAddresses.take(request.socket.remoteAddress ?? 'local', clock.monotonicMs()),
  };
}
