/**
 * Depth and number of keys of a request. The server (frame-reader.ts) refuses a request by them, and the client does
 * not send one that would be refused.
 */
import type { ApiLimits } from './api-limits.ts';

export type ShapeLimits = Pick<ApiLimits, 'maxDepth' | 'maxKeys'>;

const tooDeep = -1;
const tooMany = -2;
const poisoned = -3;

/** @returns why the request is refused, or undefined when it is not */
export function shapeFault(request: object, limits: ShapeLimits): string | undefined {
  const measured = measure(request, 1, 0, limits);
  if (measured >= 0) return undefined;
  if (measured === poisoned) return 'the key __proto__, which no request may have';
  return measured === tooDeep
    ? `deeper than ${limits.maxDepth} levels`
    : `more than ${limits.maxKeys} keys and elements`;
}

/** Counts keys and elements, no deeper than `maxDepth` so that the stack is bounded. @returns the count, or a fault */
function measure(value: object, depth: number, before: number, limits: ShapeLimits): number {
  if (depth > limits.maxDepth) return tooDeep;
  let keys = before;
  if (Array.isArray(value)) {
    keys += value.length;
    for (const child of value as unknown[]) {
      if (keys < 0 || keys > limits.maxKeys) break;
      if (typeof child === 'object' && child !== null) keys = measure(child, depth + 1, keys, limits);
    }
  } else {
    for (const key in value) {
      keys += 1;
      if (key === '__proto__') return poisoned;
      if (keys > limits.maxKeys) break;
      const child = (value as Record<string, unknown>)[key];
      if (typeof child === 'object' && child !== null) keys = measure(child, depth + 1, keys, limits);
      if (keys < 0) break;
    }
  }
  return keys > limits.maxKeys ? tooMany : keys;
}
