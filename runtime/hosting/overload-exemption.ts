/**
 * Commands that a full house takes all the same, because they may end what fills it. Actors whose messages nobody takes
 * stay in the house; when their receivers are on a host that is off, or held, only an operator ends that, by a command
 * to an actor that is not in the house. Turned away like any newcomer it would stay full for ever (seen: a lost host
 * could not be fenced, since all who waited for it filled the controller). They do not make it grow without bound
 * (G11): few actors are told by them, and each is at rest once it has answered. Called by the inlet (host.ts).
 */
import type { Command } from '../contract/envelope.ts';
import { partsOf } from '../contract/identifiers.ts';
import { verbOf } from '../contract/supervision.ts';
import { systemPrincipal } from './input-check.ts';
import type { RegisteredKind } from './registration.ts';

/**
 * What nodes say themselves (a host is silent, is back), verbs of operators, and what its kind says
 * `exemptFromOverload`.
 */
export const exemptFromOverload = (
  kinds: ReadonlyMap<string, RegisteredKind>,
  { to, event, principal }: Command,
): boolean =>
  principal === systemPrincipal ||
  verbOf(event) !== undefined ||
  kinds.get(partsOf(to).kind)?.exempt.has(event.type) === true;
