/**
 * What a node refuses while its event loop stays behind, so that its beats, its links and what runs on it come first:
 * requests of clients that are no operators, new connections and pages. Sessions that are open stay open.
 */
import type { IncomingMessage } from 'node:http';

export class LoadShedding {
  readonly #delayMs: () => number;
  readonly #shedDelayMs: number;
  #refused = 0;

  /** @param delayMs the delay of the event loop as long as it lasts */
  constructor(delayMs: () => number, shedDelayMs: number) {
    this.#delayMs = delayMs;
    this.#shedDelayMs = shedDelayMs;
  }

  get refused(): number {
    return this.#refused;
  }

  /** Whether work is to be refused now; counted. */
  refuses(): boolean {
    if (this.#delayMs() < this.#shedDelayMs) return false;
    this.#refused += 1;
    return true;
  }

  /** The same for an HTTP request; one on the socket of this computer is an operator's. */
  refusesRequest(request: IncomingMessage, path: string): boolean {
    return request.socket.remoteAddress !== undefined && path !== '/healthz' && this.refuses();
  }
}
