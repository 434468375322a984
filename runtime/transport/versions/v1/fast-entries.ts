/**
 * Hand-written checks for the most common entries of version 1, much cheaper than the zod schemas of peer-frames.ts. A
 * true result means that the schema would accept the value unchanged; false means nothing, and the schema is asked. A
 * test compares the checks with the schemas. Called by peer-frames.ts.
 */
import { parseActorId } from '../../../contract/identifiers.ts';

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !Object.hasOwn(value, '__proto__');
const isText = (value: unknown, most: number): boolean => typeof value === 'string' && value.length <= most;
const isActorId = (value: unknown): boolean => typeof value === 'string' && parseActorId(value) !== undefined;
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
const isEvent = (value: unknown): boolean => isFields(value) && isText(value['type'], 200);

/** All required fields, an optional trace, and no other field. */
function isMessage(body: unknown): boolean {
  if (!isFields(body)) return false;
  const { to, from, senderUid, era, seq, after, event, cause, trace } = body;
  return (
    Object.keys(body).length === (trace === undefined ? 8 : 9) &&
    isActorId(to) &&
    isActorId(from) &&
    isText(senderUid, 64) &&
    isCount(era) &&
    isCount(seq) &&
    isCount(after) &&
    isEvent(event) &&
    isText(cause, 400) &&
    (trace === undefined || isText(trace, 128))
  );
}

function isCommand(body: unknown): boolean {
  if (!isFields(body)) return false;
  const { to, commandId, digest, principal, event, trace } = body;
  return (
    Object.keys(body).length === (trace === undefined ? 5 : 6) &&
    isActorId(to) &&
    isText(commandId, 400) &&
    isText(digest, 128) &&
    isText(principal, 200) &&
    isEvent(event) &&
    (trace === undefined || isText(trace, 128))
  );
}

const isNumbered = (entry: unknown): entry is readonly unknown[] =>
  Array.isArray(entry) && entry.length === 3 && isCount(entry[1]) && Number(entry[1]) > 0;

export const isFastRequests = (frame: unknown): boolean =>
  Array.isArray(frame) &&
  frame.length <= 100_000 &&
  frame.every((entry) => {
    if (!isNumbered(entry)) return false;
    const [kind, , body] = entry;
    return kind === 'm' ? isMessage(body) : kind === 'c' && isCommand(body);
  });

export const isFastResponses = (frame: unknown): boolean =>
  Array.isArray(frame) && frame.every((entry) => isNumbered(entry) && entry[0] === 'r');

export const isApplied = (answer: unknown): boolean =>
  isFields(answer) && answer['result'] === 'applied' && Object.keys(answer).length === 1;
