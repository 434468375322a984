/**
 * One dialled link to one peer: sends requests and matches answers by number. A link is dialled once: when it ends, all
 * unanswered requests are rejected, and peer-links.ts makes a new link. Upholds "unknown stays unknown"
 * (docs/promises.md): a request that may have reached the peer is rejected as `unknown`, one that has not left this
 * node as a fault.
 */
import { WebSocket } from 'ws';
import type { Clock } from '../contract/clock.ts';
import { PhotonError } from '../contract/errors.ts';
import type { Log } from '../contract/log.ts';
import { NumberedSlots } from '../contract/numbered-slots.ts';
import { FrameWriter } from './frame-writer.ts';
import { startHeartbeat } from './link-heartbeat.ts';
import type { PeerLimits } from './link-limits.ts';
import { peerDialOptions, type Admits, type Peer, type PeerTls } from './peer-identity.ts';
import { peerVersion, readAcceptance, readResponses, writeOffer } from './versions/v1/peer-frames.ts';

export interface PeerLinkOptions {
  readonly node: string;
  readonly url: string;
  readonly tls: PeerTls;
  readonly admits: Admits;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: PeerLimits;
  /** Called once; `opened` says whether the peer had accepted the hello. */
  readonly onEnded: (opened: boolean) => void;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: PhotonError) => void;
  readonly read: (value: unknown) => unknown;
  readonly sentMs: number;
  readonly timeoutMs: number;
}

const sweepEveryMs = 500;

export class PeerLink {
  readonly #options: PeerLinkOptions;
  readonly #socket: WebSocket;
  /** The other end, once it has proven its certificate. */
  #peer: Peer | undefined;
  readonly #waiting = new NumberedSlots<Waiting>();
  readonly #writer: FrameWriter;
  #early: string[] | undefined = [];
  #earlyBytes = 0;
  #heardMs = 0;
  #ended = false;
  #endReason = 'the link closed';
  #cancelSweep: (() => void) | undefined;
  readonly #cancelConnect: () => void;

  constructor(options: PeerLinkOptions) {
    this.#options = options;
    const { limits, node, clock } = options;
    const socket = new WebSocket(new URL('/peer', options.url), 'photon.peer', {
      ...peerDialOptions(options.tls, node, options.admits, (peer) => (this.#peer = peer)),
      handshakeTimeout: limits.connectTimeoutMs,
      maxPayload: limits.maxFrameBytes,
      perMessageDeflate: false,
      followRedirects: false,
      // A mask of zeros saves both ends a pass over the bytes. Masking protects proxies from bytes chosen by web pages;
      // on a TLS connection between two nodes there is neither a proxy nor a web page.
      generateMask: () => {},
    });
    this.#socket = socket;
    this.#writer = new FrameWriter({
      socket,
      maxFrameBytes: limits.maxFrameBytes,
      pauseBytes: limits.pauseBytes,
      closeBytes: limits.closeBytes,
      onOverflow: () => this.end('too much was waiting to be sent'),
    });
    this.#cancelConnect = clock.after(limits.connectTimeoutMs, () => this.end('no hello in time'));
    socket.on('open', () => socket.send(writeOffer()));
    socket.on('message', (bytes, isBinary) => this.#onFrame(isBinary ? '' : String(bytes)));
    socket.on('error', (error) => {
      this.#endReason = error.message;
    });
    socket.on('close', (code, reason) => this.#onClosed(code, String(reason)));
    startHeartbeat(socket, clock, limits, () => {
      this.#endReason = `the peer said nothing for ${limits.silenceMs} ms`;
    });
  }

  /** Whether there is no room for another request, because the peer answers more slowly than requests are made. */
  get full(): boolean {
    const { maxInFlight, pauseBytes } = this.#options.limits;
    return this.#waiting.size >= maxInFlight || this.#writer.paused || this.#earlyBytes > pauseBytes;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /**
   * @param kind `m` a message, `c` a command
   * @param read decodes the answer; undefined means that the peer violated the protocol
   */
  request<T>(kind: 'm' | 'c', body: unknown, timeoutMs: number, read: (value: unknown) => T | undefined): Promise<T> {
    const { node, clock, limits } = this.#options;
    return new Promise<T>((resolve, reject) => {
      const settle = resolve as (value: unknown) => void;
      const waiting = { resolve: settle, reject, read, sentMs: clock.monotonicMs(), timeoutMs };
      const number = this.#waiting.add(waiting);
      const entry = JSON.stringify([kind, number, body]);
      if (!this.#writer.fits(entry)) {
        this.#waiting.take(number);
        const text = `A request to ${node} is larger than ${limits.maxFrameBytes} bytes; make the event smaller.`;
        reject(new PhotonError('defeat', 'message_too_large', text));
        return;
      }
      this.#cancelSweep ??= clock.after(sweepEveryMs, () => this.#sweep());
      if (this.#early === undefined) {
        this.#writer.write(entry);
      } else {
        this.#early.push(entry);
        this.#earlyBytes += entry.length;
      }
    });
  }

  /** Cuts the link when its other end is no longer admitted. */
  review(): void {
    if (this.#peer !== undefined && !this.#options.admits(this.#peer)) this.end('the node was removed');
  }

  /** Cuts the link; waiting requests are rejected when the socket has closed. */
  end(reason: string): void {
    this.#endReason = reason;
    this.#socket.terminate();
  }

  #onFrame(text: string): void {
    this.#heardMs = this.#options.clock.monotonicMs();
    if (this.#early !== undefined) {
      if (readAcceptance(text) !== peerVersion) return this.end('the peer speaks no version of ours');
      this.#cancelConnect();
      const early = this.#early;
      this.#early = undefined;
      this.#earlyBytes = 0;
      for (const entry of early) this.#writer.write(entry);
      return undefined;
    }
    const entries = readResponses(text);
    if (entries === undefined) return this.end('the peer sent a frame that is no list of answers');
    for (const [kind, number, body] of entries) this.#onAnswer(kind, number, body);
    return undefined;
  }

  #onAnswer(kind: 'r' | 'e', number: number, body: unknown): void {
    const waiting = this.#waiting.take(number);
    // The answer came after the timeout: the caller got `unknown` and repeats the request with the same ids.
    if (waiting === undefined) return;
    const { node } = this.#options;
    if (kind === 'e') {
      const { code, message } = body as { code: string; message: string };
      const text = `Node ${node} failed to take a request (${code}): ${message}`;
      waiting.reject(new PhotonError('unknown', 'peer_failed', text));
      return;
    }
    const value = waiting.read(body);
    if (value === undefined) {
      const text = `Node ${node} gave an answer of an unknown shape; check whether it runs another version.`;
      waiting.reject(new PhotonError('unknown', 'peer_answer_malformed', text));
    } else {
      waiting.resolve(value);
    }
  }

  /** Rejects requests older than their timeout, and ends the link if the peer has sent nothing since one of them. */
  #sweep(): void {
    const { clock, node } = this.#options;
    const nowMs = clock.monotonicMs();
    let silent = false;
    for (const [number, waiting] of this.#waiting.entries()) {
      if (nowMs - waiting.sentMs < waiting.timeoutMs) continue;
      this.#waiting.abandon(number);
      silent ||= this.#heardMs < waiting.sentMs;
      const text = `Node ${node} did not answer within ${waiting.timeoutMs} ms; ask again with the same ids.`;
      waiting.reject(new PhotonError('unknown', 'peer_timeout', text));
    }
    this.#cancelSweep = this.#waiting.size > 0 ? clock.after(sweepEveryMs, () => this.#sweep()) : undefined;
    if (silent) this.end('the peer has been silent for longer than a request may take');
  }

  #onClosed(code: number, reason: string): void {
    const { node, log } = this.#options;
    const opened = this.#early === undefined;
    this.#ended = true;
    this.#cancelConnect();
    this.#cancelSweep?.();
    const why = reason === '' ? this.#endReason : `${code} ${reason}`;
    log.info({ peer: node, opened, why }, opened ? 'link to a peer ended' : 'a peer cannot be reached');
    for (const waiting of this.#waiting.drain()) {
      waiting.reject(
        opened
          ? new PhotonError('unknown', 'link_lost', `The link to node ${node} was lost (${why}); ask again.`)
          : new PhotonError('fault', 'peer_unreachable', `Node ${node} cannot be reached: ${why}.`),
      );
    }
    this.#options.onEnded(opened);
  }
}
