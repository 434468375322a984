/** Converts errors of the control API to PhotonErrors. */
import { PhotonError, type ErrorGroup } from '../contract/errors.ts';
import type { Problem } from '../control-api/api-schema.ts';
import type { Refusal } from './client-socket.ts';

const prefix = 'urn:photon:error:';

export function errorOf(problem: Problem): PhotonError {
  const { type, detail, group, retryable, retryAfterMs, issues, actor, traceId } = problem;
  const code = type.startsWith(prefix) ? type.slice(prefix.length) : type;
  return new PhotonError(group as ErrorGroup, code, detail, {
    retryable,
    public: true,
    cause: `trace ${traceId}`,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(issues === undefined ? {} : { issues }),
    ...(actor === undefined ? {} : { actor }),
  });
}

export const connectionLost = (why: string): PhotonError =>
  new PhotonError(
    'unknown',
    'connection_lost',
    `The connection was lost (${why}); ask again with the same idempotencyKey.`,
    {
      public: true,
    },
  );

export const unreachable = (url: string, why: string, retryAfterMs?: number): PhotonError =>
  new PhotonError('fault', 'unreachable', `${url} cannot be reached: ${why === '' ? 'no reason given' : why}.`, {
    public: true,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });

/** Statuses with which a server refuses this client and would refuse it again. */
const finalStatuses: readonly number[] = [401, 403, 426];

/** @param refusal the HTTP answer, when there was one */
export function connectionRefused(url: string, why: string, refusal: Refusal | undefined): PhotonError {
  if (refusal === undefined || !finalStatuses.includes(refusal.status))
    return unreachable(url, why, refusal?.retryAfterMs);
  return new PhotonError('rejection', 'refused', `${url} refused the connection: ${why}.`);
}

/**
 * @param text the header `Retry-After`: seconds, or an HTTP date
 * @returns undefined when it is neither
 */
export function retryAfterMsOf(text: string | null | undefined, wallMs: number): number | undefined {
  if (text === null || text === undefined) return undefined;
  if (/^\d+$/.test(text)) return Number(text) * 1_000;
  const waitMs = text.endsWith('GMT') ? Date.parse(text) - wallMs : NaN;
  return Number.isFinite(waitMs) ? Math.max(0, waitMs) : undefined;
}
