/**
 * Version 1 of the protocol between nodes: JSON text frames, each an array of the entries of one tick. This file
 * defines the shapes by zod schemas; it opens no socket and takes no decision. fast-entries.ts accepts the most common
 * entries without the schemas. Called by peer-link.ts and peer-acceptance.ts.
 *
 *   dialler  -> {"hello":{"versions":[1]}}                          first frame
 *   acceptor -> {"hello":{"version":1}}                             first frame
 *   dialler  -> [["m",n,Message] | ["c",n,Command], ...]            requests; a number may be reused once answered
 *   acceptor -> [["r",n,Delivery | Reply | {"moved":true}] | ["e",n,{"code","message"}], ...]
 *
 * A frame carries no sender: the peer's name is the one in its certificate. A change of these shapes needs a folder
 * `v2` beside this one; both versions are offered in the hello until no node uses version 1 any more.
 */
import { z } from 'zod';
import { durabilities } from '../../../contract/durability.ts';
import type { Command, Message, Reply } from '../../../contract/envelope.ts';
import { parseActorId, type ActorId } from '../../../contract/identifiers.ts';
import type { Delivery } from '../../../contract/link.ts';
import { isApplied, isFastRequests, isFastResponses } from './fast-entries.ts';

export const peerVersion = 1;

const actorId = z.custom<ActorId>((value) => typeof value === 'string' && parseActorId(value) !== undefined);
const event = z.looseObject({ type: z.string().max(200) });
const count = z.number().int().nonnegative();

const message = z.object({
  to: actorId,
  from: actorId,
  senderUid: z.string().max(64),
  era: count,
  seq: count,
  after: count,
  event,
  cause: z.string().max(400),
  trace: z.string().max(128).optional(),
  durability: z.enum(durabilities).optional(),
});

const command = z.object({
  to: actorId,
  commandId: z.string().max(400),
  digest: z.string().max(128),
  principal: z.string().max(200),
  event,
  ifVersion: count.optional(),
  trace: z.string().max(128).optional(),
  durability: z.enum(durabilities).optional(),
});

const number = z.number().int().positive();
const requestEntry = z.union([z.tuple([z.literal('m'), number, message]), z.tuple([z.literal('c'), number, command])]);
export const requestFrame = z.array(requestEntry).max(100_000);

const errorRecord = z.looseObject({
  group: z.enum(['rejection', 'fault', 'defeat', 'unknown', 'ownership_lost', 'bug']),
  code: z.string(),
  message: z.string(),
  retryable: z.boolean(),
  public: z.boolean(),
});
export const delivery = z.union([
  z.object({ result: z.enum(['applied', 'gap', 'moved']) }),
  z.object({ result: z.literal('busy'), retryAfterMs: count }),
]);
const commandAnswer = z.union([
  z.object({ moved: z.literal(true) }),
  z.object({ ok: z.literal(true), version: count, result: z.unknown(), durability: z.enum(durabilities).optional() }),
  z.object({ ok: z.literal(false), version: count, error: errorRecord, durability: z.enum(durabilities).optional() }),
]);
const failure = z.object({ code: z.string(), message: z.string() });
export const responseFrame = z.array(
  z.union([z.tuple([z.literal('r'), number, z.unknown()]), z.tuple([z.literal('e'), number, failure])]),
);

const offer = z.object({ hello: z.object({ versions: z.array(z.number().int()).max(32) }) });
const acceptance = z.object({ hello: z.object({ version: z.number().int() }) });

export type RequestEntry = readonly ['m', number, Message] | readonly ['c', number, Command];
export type ResponseEntry =
  readonly ['r', number, unknown] | readonly ['e', number, { readonly code: string; readonly message: string }];
export type CommandAnswer = Reply | { readonly moved: true };

/**
 * @param isFastMatch must return true only for values that the schema would accept unchanged
 * @returns undefined when the text is not JSON or not of the shape; the caller closes the link
 */
function read<T>(
  schema: z.ZodType<T>,
  text: string,
  isFastMatch: (value: unknown) => boolean = () => false,
): T | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (isFastMatch(value)) return value as T;
  const parsed = schema.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}

export const readOffer = (text: string): readonly number[] | undefined => read(offer, text)?.hello.versions;
export const readAcceptance = (text: string): number | undefined => read(acceptance, text)?.hello.version;
export const readRequests = (text: string): readonly RequestEntry[] | undefined =>
  read(requestFrame, text, isFastRequests) as readonly RequestEntry[] | undefined;
export const readResponses = (text: string): readonly ResponseEntry[] | undefined =>
  read(responseFrame, text, isFastResponses) as readonly ResponseEntry[] | undefined;

export const readDelivery = (value: unknown): Delivery | undefined =>
  isApplied(value) ? { result: 'applied' } : delivery.safeParse(value).data;
export const readCommandAnswer = (value: unknown): CommandAnswer | undefined =>
  commandAnswer.safeParse(value).data as CommandAnswer | undefined;

export const writeOffer = (): string => JSON.stringify({ hello: { versions: [peerVersion] } });
export const writeAcceptance = (): string => JSON.stringify({ hello: { version: peerVersion } });
