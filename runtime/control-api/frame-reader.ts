/**
 * A client's text frame to a request, or the reason why it is none. Hostile input ends here: size is bounded by the
 * socket, depth, count and poisoned keys by this file, fields by the schema. It performs nothing.
 */
import { requestFrame, type RequestFrame, type RpcId } from './api-schema.ts';
import { issuesOf } from './api-problem.ts';
import type { ApiLimits } from './api-limits.ts';

export type FrameReading =
  | { readonly result: 'request'; readonly request: RequestFrame }
  /** Answerable: the envelope bears an id. */
  | { readonly result: 'refused'; readonly id: RpcId; readonly why: string }
  /** Not answerable: the socket is closed 4400. */
  | { readonly result: 'malformed'; readonly why: string };

export function readFrame(text: string, limits: Pick<ApiLimits, 'maxDepth' | 'maxKeys'>): FrameReading {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { result: 'malformed', why: 'not JSON' };
  }
  if (Array.isArray(value)) return { result: 'malformed', why: 'batches are not accepted' };
  if (typeof value !== 'object' || value === null) return { result: 'malformed', why: 'not a JSON-RPC request' };
  const id: unknown = Object.hasOwn(value, 'id') ? (value as { id: unknown }).id : undefined;
  const usable =
    (typeof id === 'string' && id.length > 0 && id.length <= 64) || (Number.isSafeInteger(id) && Number(id) >= 0);
  if (!usable) return { result: 'malformed', why: 'no usable id' };
  const shape = shapeFault(value, limits);
  if (shape !== undefined) return { result: 'refused', id: id as RpcId, why: shape };
  const parsed = requestFrame.safeParse(value);
  if (parsed.success) return { result: 'request', request: parsed.data };
  const [first] = issuesOf(parsed.error);
  return { result: 'refused', id: id as RpcId, why: `${first?.path ?? ''}: ${first?.message ?? 'wrong shape'}` };
}

/** Walks without recursion, so that depth cannot exhaust the stack. */
function shapeFault(root: object, limits: Pick<ApiLimits, 'maxDepth' | 'maxKeys'>): string | undefined {
  let level: object[] = [root];
  let keys = 0;
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth > limits.maxDepth) return `deeper than ${limits.maxDepth} levels`;
    const next: object[] = [];
    for (const value of level) {
      if (Object.hasOwn(value, '__proto__')) return 'the key __proto__ is not accepted';
      const children: unknown[] = Array.isArray(value) ? value : Object.values(value);
      keys += children.length;
      if (keys > limits.maxKeys) return `more than ${limits.maxKeys} keys and elements`;
      for (const child of children) if (typeof child === 'object' && child !== null) next.push(child);
    }
    level = next;
  }
  return undefined;
}
