/**
 * The sending half of a link: entries of one tick leave as one WebSocket frame, and unsent bytes are counted, because
 * `ws` itself bounds nothing on the way out. It knows no meaning of entries. Called by peer-link.ts and peer-
 * server.ts.
 */
import type { WebSocket } from 'ws';

export interface FrameWriterOptions {
  readonly socket: WebSocket;
  readonly maxFrameBytes: number;
  readonly pauseBytes: number;
  readonly closeBytes: number;
  /** Unsent bytes have fallen below half of `pauseBytes` after having been above it. */
  readonly onDrained?: () => void;
  /** Unsent bytes have passed `closeBytes`; the owner cuts the link. */
  readonly onOverflow: () => void;
}

export class FrameWriter {
  readonly #options: FrameWriterOptions;
  #entries: string[] = [];
  #scheduled = false;
  #unsentBytes = 0;
  #paused = false;

  constructor(options: FrameWriterOptions) {
    this.#options = options;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Whether an entry of this JSON text fits a frame at all. */
  fits(entry: string): boolean {
    return Buffer.byteLength(entry) + 2 <= this.#options.maxFrameBytes;
  }

  /** Sends at the end of this tick. `entry` is JSON text that fits. */
  write(entry: string): void {
    this.#entries.push(entry);
    this.#unsentBytes += Buffer.byteLength(entry) + 1;
    if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => this.#flush());
    }
    if (this.#unsentBytes > this.#options.pauseBytes) this.#paused = true;
    if (this.#unsentBytes > this.#options.closeBytes) this.#options.onOverflow();
  }

  #flush(): void {
    this.#scheduled = false;
    const entries = this.#entries;
    this.#entries = [];
    let first = 0;
    let frameBytes = 2;
    for (let index = 0; index < entries.length; index += 1) {
      const bytes = Buffer.byteLength(entries[index] as string) + 1;
      if (index > first && frameBytes + bytes > this.#options.maxFrameBytes) {
        this.#send(entries.slice(first, index));
        first = index;
        frameBytes = 2;
      }
      frameBytes += bytes;
    }
    if (first < entries.length) this.#send(first === 0 ? entries : entries.slice(first));
  }

  #send(entries: readonly string[]): void {
    const { socket, pauseBytes, onDrained } = this.#options;
    const bytes = entries.reduce((sum, entry) => sum + Buffer.byteLength(entry) + 1, 0);
    if (socket.readyState !== socket.OPEN) return;
    // A failed send is followed by the socket's `close`, which settles everything that waits; nothing is lost here.
    socket.send(`[${entries.join(',')}]`, () => {
      this.#unsentBytes -= bytes;
      if (this.#paused && this.#unsentBytes < pauseBytes / 2) {
        this.#paused = false;
        onDrained?.();
      }
    });
  }
}
