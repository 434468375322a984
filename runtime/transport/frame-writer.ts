/**
 * The sending half of a link: entries of one tick leave as one WebSocket frame, and unsent bytes are counted, because
 * `ws` itself has no bound for sending. It does not interpret entries. Called by peer-link.ts and peer-acceptance.ts.
 */
import type { WebSocket } from 'ws';

export interface FrameWriterOptions {
  readonly socket: WebSocket;
  readonly maxFrameBytes: number;
  readonly pauseBytes: number;
  readonly closeBytes: number;
  /** Called when unsent bytes fall below half of `pauseBytes` after they were above it. */
  readonly onDrained?: () => void;
  /** Called when unsent bytes exceed `closeBytes`; the owner must cut the link. */
  readonly onOverflow: () => void;
}

export class FrameWriter {
  readonly #options: FrameWriterOptions;
  #entries: string[] = [];
  /** Bytes of each entry, including the comma or bracket behind it. */
  #sizes: number[] = [];
  #scheduled = false;
  #unsentBytes = 0;
  #paused = false;

  constructor(options: FrameWriterOptions) {
    this.#options = options;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Whether an entry with this JSON text fits into a frame. */
  fits(entry: string): boolean {
    const { maxFrameBytes } = this.#options;
    // A UTF-16 code unit takes at most three bytes in UTF-8.
    return entry.length * 3 + 2 <= maxFrameBytes || Buffer.byteLength(entry) + 2 <= maxFrameBytes;
  }

  /** Sends the entry at the end of this tick. @param entry JSON text for which `fits` is true */
  write(entry: string): void {
    const bytes = Buffer.byteLength(entry) + 1;
    this.#entries.push(entry);
    this.#sizes.push(bytes);
    this.#unsentBytes += bytes;
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
    const sizes = this.#sizes;
    this.#entries = [];
    this.#sizes = [];
    let first = 0;
    let bytes = 0;
    for (const [index, size] of sizes.entries()) {
      // The 1 is the opening bracket.
      if (index > first && 1 + bytes + size > this.#options.maxFrameBytes) {
        this.#send(entries.slice(first, index), bytes);
        first = index;
        bytes = 0;
      }
      bytes += size;
    }
    if (first < entries.length) this.#send(first === 0 ? entries : entries.slice(first), bytes);
  }

  /** @param bytes the counted size of the entries */
  #send(entries: readonly string[], bytes: number): void {
    const { socket, pauseBytes, onDrained } = this.#options;
    if (socket.readyState !== socket.OPEN) return;
    // A failed send is followed by the socket's `close` event, which rejects every waiting request.
    socket.send(`[${entries.join(',')}]`, () => {
      this.#unsentBytes -= bytes;
      if (this.#paused && this.#unsentBytes < pauseBytes / 2) {
        this.#paused = false;
        onDrained?.();
      }
    });
  }
}
