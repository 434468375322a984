/**
 * A serial console that one client reads and writes. What the client gets is read from the console's file, which QEMU
 * appends to, and not from QEMU's socket: so nobody who reads slowly can hold up the guest, and what was printed before
 * stands in front of what is printed now without a gap. What the client writes goes to the socket, no faster than the
 * guest takes it. Nothing here interprets a byte. Called by qemu-operations.ts.
 * Promise (docs/threats.md#t90): a client gets at most `bytesPerTick` each `tickMs`, from a guest that prints faster
 * with a gap that says so; a client that takes nothing for `slowMs` is cut; one console has one client.
 */
import { open, type FileHandle } from 'node:fs/promises';
import net from 'node:net';
import { Duplex } from 'node:stream';
import { PhotonError, reject } from '@photoncloud/runtime/contract/errors';
import type { DataplaneSite } from '../dataplane-site.ts';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { latestRun } from './qemu-console.ts';

const tickMs = 30;
const bytesPerTick = 8 << 10;
/** What was printed before the client came. */
export const scrollbackBytes = 16 << 10;
/** A client that is further behind gets the end, after a gap. */
const behindBytes = 256 << 10;
const slowMs = 10_000;
const connectMs = 2_000;

const notHere = (): PhotonError =>
  reject('console_absent', 'the VM does not run here, or its run is older than consoles; look at its state, start it');

export class ConsoleStreams {
  readonly #site: DataplaneSite;
  /** Incarnation -> its client; null while it is being connected. */
  readonly #open = new Map<string, Duplex | null>();

  constructor(site: DataplaneSite) {
    this.#site = site;
  }

  /** @throws rejection `console_busy`, `console_absent` */
  async open(incarnation: string): Promise<Duplex> {
    if (this.#open.has(incarnation))
      throw reject('console_busy', 'another client has this console; it is free once that one leaves');
    this.#open.set(incarnation, null);
    try {
      const stream = await this.#connect(incarnation);
      this.#open.set(incarnation, stream);
      stream.once('close', () => this.#open.delete(incarnation));
      return stream;
    } catch (error) {
      this.#open.delete(incarnation);
      throw error;
    }
  }

  close(): void {
    for (const stream of this.#open.values()) stream?.destroy();
  }

  async #connect(incarnation: string): Promise<Duplex> {
    const paths = await latestRun(this.#site, incarnation);
    if (paths === undefined) throw notHere();
    const socket = await connected(paths.consoleSocket);
    try {
      const log = await open(paths.console, 'r');
      const { size } = await log.stat();
      return new ConsoleStream(socket, log, Math.max(0, size - scrollbackBytes));
    } catch (error) {
      socket.destroy();
      throw fileError(`opening the console of ${incarnation}`, error);
    }
  }
}

/** @throws rejection `console_absent` */
function connected(path: string): Promise<net.Socket> {
  return new Promise((resolve, fail) => {
    const socket = net.connect(path);
    const timer = setTimeout(() => socket.destroy(new Error('QEMU does not answer')), connectMs);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', (error) => {
      clearTimeout(timer);
      const isAbsent = ['ENOENT', 'ECONNREFUSED'].includes(errnoOf(error));
      fail(isAbsent ? notHere() : fileError('connecting to a console', error));
    });
  });
}

class ConsoleStream extends Duplex {
  readonly #socket: net.Socket;
  readonly #log: FileHandle;
  readonly #timer: NodeJS.Timeout;
  #at: number;
  #isWanted = false;
  #isReading = false;
  #hasEnded = false;
  #takenMs = performance.now();

  constructor(socket: net.Socket, log: FileHandle, at: number) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.#log = log;
    this.#at = at;
    this.#timer = setInterval(() => void this.#tick(), tickMs);
    // The same bytes are in the file.
    socket.resume();
    socket.on('error', () => socket.destroy());
    socket.once('close', () => (this.#hasEnded = true));
    // Nobody can type to a run that has ended.
    this.once('end', () => this.destroy());
  }

  override _read(): void {
    this.#isWanted = true;
    this.#takenMs = performance.now();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#socket.destroyed) done();
    else this.#socket.write(chunk, () => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearInterval(this.#timer);
    this.#socket.destroy();
    // What the log could not take is lost; the stream ends all the same.
    const closed = this.#log.close().catch(() => undefined);
    void closed.finally(() => done(error));
  }

  async #tick(): Promise<void> {
    if (this.#isReading || this.destroyed) return;
    this.#isReading = true;
    try {
      const hadEnded = this.#hasEnded;
      const { size } = await this.#log.stat();
      // The watch has truncated it.
      if (size < this.#at) this.#at = 0;
      if (!this.#isWanted) {
        if (size > this.#at && performance.now() - this.#takenMs > slowMs) this.destroy(new Error('too slow'));
        return;
      }
      if (size > this.#at) await this.#pass(size);
      else if (hadEnded) this.push(null);
    } catch (error) {
      if (!this.destroyed) this.destroy(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#isReading = false;
    }
  }

  async #pass(size: number): Promise<void> {
    const skipped = size - this.#at > behindBytes ? size - this.#at - scrollbackBytes : 0;
    this.#at += skipped;
    const gap = skipped === 0 ? '' : `\r\n[${skipped} bytes left out]\r\n`;
    const length = Math.min(bytesPerTick, size - this.#at);
    const { buffer, bytesRead } = await this.#log.read(Buffer.alloc(length), 0, length, this.#at);
    if (this.destroyed) return;
    this.#at += bytesRead;
    this.#isWanted = this.push(Buffer.concat([Buffer.from(gap), buffer.subarray(0, bytesRead)]));
    this.#takenMs = performance.now();
  }
}
