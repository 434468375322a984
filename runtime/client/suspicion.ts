/**
 * Finds the request that ends connections, so that it is not sent for ever. A lost connection says something against
 * every request that was in flight on it: much when the server closed it because of a frame, little when it just broke,
 * nothing when the server went away in good order. A suspected request is sent again only after all others, alone
 * (client.ts); when connections still end with it in flight, it is the one, and its caller is told. Requests that were
 * only in its company are answered in between and go on.
 *
 * Not judged by the length of frames: a server may end a connection for other reasons, or die of a request.
 */
import { PhotonError } from '../contract/errors.ts';

/** Protocol error, wrong kind of data, no UTF-8, too long, bad frame: a frame of ours was the reason. */
const faultyFrame: readonly number[] = [1002, 1003, 1007, 1009, 4400];
/** Closed by us, going away, restarting, try again later, or the session was ended for what it is. */
const orderly: readonly number[] = [1000, 1001, 1012, 1013, 4401, 4403, 4426];

const weightOf = (code: number): number => (faultyFrame.includes(code) ? 2 : orderly.includes(code) ? 0 : 1);

const suspectedFrom = 2;
const provenFrom = 4;

/** How a connection ended. */
export interface Loss {
  /** Close code; 1006 when the connection broke. */
  readonly code: number;
  readonly why: string;
}

export class Suspicion {
  #weight = 0;

  get suspected(): boolean {
    return this.#weight >= suspectedFrom;
  }

  /** @returns the error for the caller when the request is proven to end connections; undefined: send it again */
  note(method: string, { code, why }: Loss): PhotonError | undefined {
    this.#weight += weightOf(code);
    if (this.#weight < provenFrom) return undefined;
    const text = `${method} is not sent again: the connection ended each time it was in flight (${code} ${why}).`;
    return faultyFrame.includes(code)
      ? new PhotonError('rejection', 'request_ends_connection', text)
      : new PhotonError('unknown', 'request_ends_connection', `${text} It may have been done.`, { public: true });
  }
}
