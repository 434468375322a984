/**
 * Parses a client's text frame into requests, or into the reason why it is refused. Hostile input is stopped here: the
 * socket limits the size; frame-shape.ts limits depth and number of keys and refuses `__proto__`; the schema checks
 * fields.
 */
import { requestFrame, traceparentForm, type RequestFrame, type RpcId } from './api-schema.ts';
import { issuesOf } from './api-problem.ts';
import { shapeFault, type ShapeLimits } from './frame-shape.ts';

export type FrameReading =
  | { readonly result: 'request'; readonly request: RequestFrame }
  /** The request has an id, so the refusal can be answered. */
  | { readonly result: 'refused'; readonly id: RpcId; readonly why: string }
  /** The request has no usable id, so the socket is closed with 4400. */
  | { readonly result: 'malformed'; readonly why: string };

const malformed = (why: string): FrameReading => ({ result: 'malformed', why });

/** @returns one reading per request, in order; only the malformed one when any request of the frame is malformed */
export function readFrame(text: string, limits: ShapeLimits): readonly FrameReading[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return [malformed('not JSON')];
  }
  if (!Array.isArray(value)) return [readRequest(value, limits)];
  if (value.length === 0) return [malformed('a batch without a request')];
  const readings = value.map((each: unknown) => readRequest(each, limits));
  const unusable = readings.find(({ result }) => result === 'malformed');
  return unusable === undefined ? readings : [unusable];
}

function readRequest(value: unknown, limits: ShapeLimits): FrameReading {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return malformed('not a JSON-RPC request');
  const id: unknown = Object.hasOwn(value, 'id') ? (value as { id: unknown }).id : undefined;
  if (!isUsableId(id)) return malformed('no usable id');
  const shape = shapeFault(value, limits);
  if (shape !== undefined) return { result: 'refused', id, why: shape };
  if (isRequest(value)) return { result: 'request', request: value };
  const parsed = requestFrame.safeParse(value);
  if (parsed.success) return { result: 'request', request: parsed.data };
  const [first] = issuesOf(parsed.error);
  return { result: 'refused', id, why: `${first?.path ?? ''}: ${first?.message ?? 'wrong shape'}` };
}

function isUsableId(id: unknown): id is RpcId {
  if (typeof id === 'string') return id.length > 0 && id.length <= 64;
  return Number.isSafeInteger(id) && Number(id) >= 0;
}

/**
 * A hand-written check equivalent to `requestFrame`, because the schema takes five times as long on every request. The
 * id was checked before. It may refuse what the schema accepts, never the other way round. A test compares both.
 */
function isRequest(value: object): value is RequestFrame {
  let method: unknown;
  let isVersion2 = false;
  for (const field in value) {
    const given = (value as Record<string, unknown>)[field];
    if (field === 'method') method = given;
    else if (field === 'jsonrpc') isVersion2 = given === '2.0';
    else if (field === 'params') {
      if (typeof given !== 'object' || given === null || Array.isArray(given)) return false;
    } else if (field === 'traceparent') {
      if (typeof given !== 'string' || !traceparentForm.test(given)) return false;
    } else if (field !== 'id') return false;
  }
  return isVersion2 && typeof method === 'string' && method.length > 0 && method.length <= 100;
}
