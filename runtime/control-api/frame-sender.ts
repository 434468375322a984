/**
 * The sending half of a session: one frame per answer, but one system call per tick (the raw stream is corked), and
 * bounds on what is unsent, because `ws` has none. Slow is told from dead: a session may rest for a while, not
 * for ever.
 */
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Clock } from '../contract/clock.ts';
import type { ApiLimits } from './api-limits.ts';

export interface FrameSenderOptions {
  readonly socket: WebSocket;
  /** The stream beneath the socket. */
  readonly stream: Duplex;
  readonly clock: Clock;
  readonly limits: Pick<ApiLimits, 'pauseBytes' | 'closeBytes' | 'slowMs'>;
  readonly onRest: () => void;
  readonly onDrained: () => void;
  readonly onTooSlow: (why: string) => void;
}

export class FrameSender {
  readonly #options: FrameSenderOptions;
  #corked = false;
  #resting = false;
  #cancelSlow = (): void => {};

  constructor(options: FrameSenderOptions) {
    this.#options = options;
    options.socket.once('close', () => this.#cancelSlow());
  }

  get resting(): boolean {
    return this.#resting;
  }

  send(frame: unknown): void {
    const { socket, stream, limits, clock } = this.#options;
    if (socket.readyState !== socket.OPEN) return;
    if (!this.#corked) {
      this.#corked = true;
      stream.cork();
      setImmediate(() => {
        this.#corked = false;
        stream.uncork();
      });
    }
    socket.send(JSON.stringify(frame), () => this.#sent());
    const unsent = socket.bufferedAmount;
    if (unsent > limits.closeBytes) {
      this.#options.onTooSlow(`${unsent} bytes are unsent`);
    } else if (!this.#resting && unsent > limits.pauseBytes) {
      this.#resting = true;
      this.#cancelSlow = clock.after(limits.slowMs, () =>
        this.#options.onTooSlow(`nothing was read for ${limits.slowMs} ms`),
      );
      this.#options.onRest();
    }
  }

  #sent(): void {
    const { socket, limits } = this.#options;
    if (!this.#resting || socket.bufferedAmount > limits.pauseBytes / 2) return;
    this.#resting = false;
    this.#cancelSlow();
    this.#options.onDrained();
  }
}
