/**
 * The sending half of a session: one write per tick, and bounds on what is unsent, because `ws` has none. Slow is told
 * from dead: a session may rest for a while, not for ever. A client that has sent several requests in one
 * frame gets one frame per tick, an array; any other gets one per answer.
 *
 * The frames of a tick are laid side by side here and written to the raw stream at once. `ws` would write each as two
 * pieces, and a corked stream hands every piece to the kernel by itself: that was a fifth of what a command costs. It
 * is safe because compression is off, so `ws` itself queues nothing; what it sends alone (pings, close) falls between.
 */
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Clock } from '../contract/clock.ts';
import type { ApiLimits } from './api-limits.ts';
import { textFrames } from './frame-bytes.ts';

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
  /** Texts of this tick. */
  #waiting: string[] = [];
  #waitingChars = 0;
  #joins = false;
  #resting = false;
  #cancelSlow = (): void => {};

  constructor(options: FrameSenderOptions) {
    this.#options = options;
    options.socket.once('close', () => this.#cancelSlow());
  }

  get resting(): boolean {
    return this.#resting;
  }

  /** From now on what one tick has to say is one frame. */
  join(): void {
    this.#joins = true;
  }

  send(frame: unknown): void {
    const { socket, limits, clock } = this.#options;
    if (socket.readyState !== socket.OPEN) return;
    const text = JSON.stringify(frame);
    if (this.#waiting.push(text) === 1) setImmediate(() => this.flush());
    this.#waitingChars += text.length;
    const unsent = socket.bufferedAmount + this.#waitingChars;
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

  /** Writes what this tick has so far: before a close frame, which would overtake it. */
  flush(): void {
    const { socket, stream } = this.#options;
    const texts = this.#waiting;
    this.#waiting = [];
    this.#waitingChars = 0;
    if (texts.length === 0 || socket.readyState !== socket.OPEN) return;
    const frames = this.#joins && texts.length > 1 ? [`[${texts.join(',')}]`] : texts;
    stream.write(textFrames(frames), () => this.#sent());
  }

  #sent(): void {
    const { socket, limits } = this.#options;
    if (!this.#resting || socket.bufferedAmount > limits.pauseBytes / 2) return;
    this.#resting = false;
    this.#cancelSlow();
    this.#options.onDrained();
  }
}
