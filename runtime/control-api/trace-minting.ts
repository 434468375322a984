/** A W3C traceparent for each request that brings none. Called by client-session.ts. */
import { randomBytes } from 'node:crypto';

const traceBytes = 24;
/** Random bytes are drawn in blocks: one call of the generator per request would cost more than the rest of it. */
let drawn = Buffer.alloc(0);
let drawnAt = 0;

export function mintTrace(): string {
  if (drawnAt + traceBytes > drawn.length) {
    drawn = randomBytes(traceBytes * 256);
    drawnAt = 0;
  }
  const hex = drawn.toString('hex', drawnAt, (drawnAt += traceBytes));
  return `00-${hex.slice(0, 32)}-${hex.slice(32)}-01`;
}
