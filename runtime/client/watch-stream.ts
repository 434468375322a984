/**
 * A watch as an async sequence of frames that survives reconnects: it is opened again from the last cursor, so the
 * reader neither lists again nor misses a change (it may get one twice). It acknowledges frames when they are read, so
 * a slow reader slows the server instead of filling this process's memory. client.ts passes frames in; readers iterate.
 */
import type { PhotonError } from '../contract/errors.ts';
import type { ApiParams, WatchFrame } from '../control-api/api-schema.ts';
import type { Suspicion } from './suspicion.ts';
import { errorOf } from './wire-error.ts';

/** The server's id for the watch, and how many frames may be unacknowledged. */
export interface OpenedWatch {
  readonly watch: string;
  readonly window: number;
}

export interface WatchRequests {
  /** What lost connections say against the request that opens this watch. */
  readonly suspicion: Suspicion;
  /** `onOpen` is called with the answer before any later frame: frames of the watch may follow in the same tick. */
  open(params: ApiParams<'watch.open'>, onOpen: (opened: OpenedWatch) => void): Promise<void>;
  ack(watch: string, upTo: number): void;
  close(watch: string): void;
}

export class WatchStream implements AsyncIterableIterator<WatchFrame, undefined> {
  readonly #requests: WatchRequests;
  readonly #params: ApiParams<'watch.open'>;
  readonly #onEnded: () => void;
  readonly #frames: WatchFrame[] = [];
  #reader:
    | { resolve: (next: IteratorResult<WatchFrame, undefined>) => void; reject: (error: PhotonError) => void }
    | undefined;
  #watch: string | undefined;
  #window = 256;
  #expected = 1;
  #acked = 0;
  #cursor: string | undefined;
  /** The connection dropped during a snapshot: the next snapshot must replace the part that was read. */
  #partial = false;
  #ended = false;
  #failure: PhotonError | undefined;

  constructor(requests: WatchRequests, params: ApiParams<'watch.open'>, onEnded: () => void) {
    this.#requests = requests;
    this.#params = params;
    this.#cursor = params.since;
    this.#onEnded = onEnded;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Its opening may be what ended connections: it is opened after everything else, alone. */
  get suspected(): boolean {
    return this.#requests.suspicion.suspected;
  }

  /**
   * The cursor with which a later `watch({since})` misses no change after the frames read so far; undefined before
   * `synced`.
   */
  get cursor(): string | undefined {
    return this.#cursor;
  }

  /** Opens the watch on a new connection. When that connection is lost meanwhile, the next one opens it again. */
  async connect(): Promise<void> {
    this.#watch = undefined;
    this.#expected = 1;
    this.#acked = 0;
    try {
      await this.#requests.open(this.#paramsFrom(this.#cursor), ({ watch, window }) => {
        this.#watch = watch;
        this.#window = window;
        if (this.#ended) this.#requests.close(watch);
      });
    } catch (error) {
      const { code } = (error as PhotonError).record ?? { code: '' };
      if (code !== 'connection_lost') this.fail(error as PhotonError);
    }
  }

  #paramsFrom(since: string | undefined): ApiParams<'watch.open'> {
    const params = { ...this.#params };
    delete params.since;
    return since === undefined ? params : { ...params, since };
  }

  isFor(frame: WatchFrame): boolean {
    return this.#watch === frame.watch;
  }

  /** @returns false when a frame is missing: the caller must open the watch again */
  take(frame: WatchFrame): boolean {
    if (this.#ended) return true;
    if (frame.n !== this.#expected) return false;
    this.#expected += 1;
    if (frame.type === 'closed') {
      this.fail(errorOf(frame.error));
      return true;
    }
    if (frame.type === 'items') {
      if (this.#partial) this.#push({ type: 'reset', watch: frame.watch, n: frame.n, reason: 'connection_lost' });
      this.#partial = false;
    }
    this.#push(frame);
    return true;
  }

  /** Called when the connection is lost; `connect` follows. */
  dropped(): void {
    this.#partial ||= this.#cursor === undefined && this.#expected > 1;
    this.#watch = undefined;
  }

  fail(error: PhotonError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnded();
    if (this.#reader === undefined) this.#failure = error;
    else this.#reader.reject(error);
    this.#reader = undefined;
  }

  /** Ends the sequence for its reader and the watch on the server. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#frames.length = 0;
    if (this.#watch !== undefined) this.#requests.close(this.#watch);
    this.#onEnded();
    this.#reader?.resolve({ done: true, value: undefined });
    this.#reader = undefined;
  }

  next(): Promise<IteratorResult<WatchFrame, undefined>> {
    const frame = this.#frames.shift();
    if (frame !== undefined) {
      this.#read(frame);
      return Promise.resolve({ done: false, value: frame });
    }
    if (this.#failure !== undefined) {
      const error = this.#failure;
      this.#failure = undefined;
      return Promise.reject(error);
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<WatchFrame, undefined>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  #push(frame: WatchFrame): void {
    if (frame.type === 'reset') this.#cursor = undefined;
    else if ('cursor' in frame) this.#cursor = frame.cursor;
    const reader = this.#reader;
    if (reader === undefined) {
      this.#frames.push(frame);
      return;
    }
    this.#reader = undefined;
    this.#read(frame);
    reader.resolve({ done: false, value: frame });
  }

  /** Acknowledges a quarter of the window at a time: few requests, and the server never has to wait for the window. */
  #read(frame: WatchFrame): void {
    if (this.#watch !== frame.watch || frame.n - this.#acked < this.#window / 4) return;
    this.#acked = frame.n;
    this.#requests.ack(this.#watch, frame.n);
  }
}
