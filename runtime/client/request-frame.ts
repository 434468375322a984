/**
 * The text of one request, or why it must not be sent. A frame that is longer than the server accepts would close the
 * connection, with every other request on it, so it is refused here. The limits are those that hello names; a server
 * that does not name them has the defaults of docs/limits.md.
 */
import { PhotonError, reject } from '../contract/errors.ts';
import { defaultApiLimits, type ApiLimits } from '../control-api/api-limits.ts';
import { shapeFault } from '../control-api/frame-shape.ts';

export type RequestLimits = Pick<ApiLimits, 'maxFrameBytes' | 'maxDepth' | 'maxKeys'>;

/** The part of hello that names limits. */
export interface ToldLimits {
  readonly maxFrameBytes?: number;
  readonly limits?: Partial<RequestLimits>;
}

export function requestLimitsOf({ maxFrameBytes, limits = {} }: ToldLimits): RequestLimits {
  return {
    maxFrameBytes: limits.maxFrameBytes ?? maxFrameBytes ?? defaultApiLimits.maxFrameBytes,
    maxDepth: limits.maxDepth ?? defaultApiLimits.maxDepth,
    maxKeys: limits.maxKeys ?? defaultApiLimits.maxKeys,
  };
}

export interface RequestToSend {
  readonly id: number;
  readonly method: string;
  readonly params: unknown;
  readonly traceparent?: string | undefined;
}

/** @returns the JSON text, or a rejection `request_too_large` or `request_unreadable` */
export function requestText(request: RequestToSend, limits: RequestLimits): string | PhotonError {
  const { method } = request;
  // JSON.stringify leaves out an undefined traceparent.
  const frame = { jsonrpc: '2.0', ...request };
  let text: string;
  try {
    text = JSON.stringify(frame);
  } catch (cause) {
    return new PhotonError('rejection', 'request_unreadable', `The params of ${method} are no JSON; change them.`, {
      cause,
    });
  }
  const bytes = bytesOf(text, limits.maxFrameBytes);
  if (bytes > limits.maxFrameBytes) return tooLarge(method, `${bytes} bytes, and ${limits.maxFrameBytes} are accepted`);
  // What JSON leaves out does not count, so a refusal is given only for the text itself.
  const fault = shapeFault(frame, limits) && shapeFault(JSON.parse(text) as object, limits);
  return fault === undefined ? text : tooLarge(method, fault);
}

const tooLarge = (method: string, why: string): PhotonError =>
  reject('request_too_large', `${method} was not sent: its request has ${why}. Send less at once.`);

/** Counted only when it matters: a UTF-16 code unit takes at most three bytes. */
const bytesOf = (text: string, maxBytes: number): number =>
  text.length * 3 <= maxBytes ? text.length : new TextEncoder().encode(text).length;
