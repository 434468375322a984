/**
 * The sending half of a session: one write per event loop tick, and limits on unsent bytes, because `ws` has none. A
 * slow client is paused for a limited time and then closed. A client that has sent several requests in one frame gets
 * one frame per tick, an array; any other client gets one frame per answer.
 *
 * The frames of a tick are concatenated here and written to the raw stream at once. `ws` would write each frame as two
 * pieces, and a corked stream passes every piece to the kernel separately, which was a fifth of the cost of a command.
 * Writing beside `ws` is safe because compression is off, so `ws` queues nothing; its own frames (ping, close) are
 * written between ours.
 */
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Clock } from '../contract/clock.ts';
import type { ApiLimits } from './api-limits.ts';
import type { HeldBytes } from './byte-budget.ts';
import { textFrames } from './frame-bytes.ts';

const fewBytes = 64 * 1024;

export interface FrameSenderOptions {
  readonly socket: WebSocket;
  /** The raw stream of the WebSocket. */
  readonly stream: Duplex;
  readonly clock: Clock;
  readonly limits: Pick<ApiLimits, 'pauseBytes' | 'closeBytes' | 'slowMs'>;
  /** What the unsent bytes of this session count for; undefined before it has a principal. */
  readonly held: () => HeldBytes | undefined;
  readonly onPaused: () => void;
  readonly onDrained: () => void;
  readonly onTooSlow: (why: string) => void;
}

export class FrameSender {
  readonly #options: FrameSenderOptions;
  /** Texts to be written at the end of this tick. */
  #waiting: string[] = [];
  #waitingChars = 0;
  #joins = false;
  #paused = false;
  #counted = 0;
  #cancelSlow = (): void => {};

  constructor(options: FrameSenderOptions) {
    this.#options = options;
    options.socket.once('close', () => {
      this.#cancelSlow();
      this.#account(0);
    });
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** From now on all texts of one tick are sent as one frame, an array. */
  join(): void {
    this.#joins = true;
  }

  send(frame: unknown): void {
    this.sendText(JSON.stringify(frame));
  }

  sendText(text: string): void {
    const { socket, limits, clock } = this.#options;
    if (socket.readyState !== socket.OPEN) return;
    if (this.#waiting.push(text) === 1) setImmediate(() => this.flush());
    this.#waitingChars += text.length;
    const unsent = socket.bufferedAmount + this.#waitingChars;
    this.#account(unsent);
    if (unsent > limits.closeBytes) {
      this.#options.onTooSlow(`${unsent} bytes are unsent`);
    } else if (!this.#paused && this.#isMuch(unsent)) {
      this.#paused = true;
      this.#cancelSlow = clock.after(limits.slowMs, () =>
        this.#options.onTooSlow(`nothing was read for ${limits.slowMs} ms`),
      );
      this.#options.onPaused();
    }
  }

  /** Writes the texts of this tick now; called before a close frame, which would otherwise be sent before them. */
  flush(): void {
    const { socket, stream } = this.#options;
    const texts = this.#waiting;
    this.#waiting = [];
    this.#waitingChars = 0;
    if (texts.length === 0 || socket.readyState !== socket.OPEN) return;
    const frames = this.#joins && texts.length > 1 ? [`[${texts.join(',')}]`] : texts;
    stream.write(textFrames(frames), () => this.#sent());
  }

  /** More than a session may leave unsent; less when its scope or principal has used up its memory. */
  #isMuch(unsent: number): boolean {
    return unsent > this.#options.limits.pauseBytes || (unsent > fewBytes && this.#options.held()?.isOver() === true);
  }

  /** Few bytes are not counted: they are there for a moment only, and the count would cost as much as they. */
  #account(unsent: number): void {
    const bytes = unsent > fewBytes ? unsent : 0;
    if (bytes !== this.#counted) this.#options.held()?.set(bytes);
    this.#counted = bytes;
  }

  #sent(): void {
    const { socket, limits } = this.#options;
    const unsent = socket.bufferedAmount;
    this.#account(unsent);
    if (!this.#paused || unsent > limits.pauseBytes / 2 || this.#isMuch(unsent)) return;
    this.#paused = false;
    this.#cancelSlow();
    this.#options.onDrained();
  }
}
