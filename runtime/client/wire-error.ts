/** Converts errors of the control API to PhotonErrors. */
import { PhotonError, type ErrorGroup } from '../contract/errors.ts';
import type { Problem } from '../control-api/api-schema.ts';

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

export const unreachable = (url: string, why: string): PhotonError =>
  new PhotonError('fault', 'unreachable', `${url} cannot be reached: ${why === '' ? 'no reason given' : why}.`, {
    public: true,
  });
