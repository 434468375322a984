/**
 * All outgoing links of a node: binds the contract's Outlet to WebSocket. There is one multiplexed link per peer,
 * dialled when first needed and dialled again after a growing pause with jitter. The caller names the node;
 * runtime/directory decides who owns a shard.
 *
 * Each node dials a link for its own requests, so two nodes that send requests both ways hold two sockets. So there is
 * no tie to break when both dial at once, and the direction of a link says who sends requests.
 */
import { request as httpsRequest } from 'node:https';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { Duplex, type Readable } from 'node:stream';
import { json, text } from 'node:stream/consumers';
import { z } from 'zod';
import { backoffOf } from '../contract/backoff.ts';
import type { Clock } from '../contract/clock.ts';
import { PhotonError } from '../contract/errors.ts';
import type { Outlet } from '../contract/link.ts';
import type { Log } from '../contract/log.ts';
import type { Random } from '../contract/random.ts';
import { defaultPeerLimits, type PeerLimits } from './link-limits.ts';
import { peerDialOptions, streamProtocol, type Admits, type Peer, type PeerTls } from './peer-identity.ts';
import { PeerLink } from './peer-link.ts';
import { readCommandAnswer, readDelivery } from './versions/v1/peer-frames.ts';

export interface PeerLinksOptions {
  /** Called for every connection, so that a renewed certificate is used without a restart. */
  readonly tls: () => PeerTls;
  /** Which nodes may be spoken to. Default: every node that proves its certificate. */
  readonly admits?: Admits;
  readonly nodeName: string;
  /** `https://10.0.0.2:7401`, or undefined for an unknown node. */
  readonly addressOf: (node: string) => string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly limits?: Partial<PeerLimits>;
}

/** So long must a link have lasted for the next one to be dialled without a growing pause. */
const steadyMs = 5_000;

export interface PeerLinks extends Outlet {
  /**
   * Reads one of the peer's mounted routes, such as `/blobs/<sha256>`. The stream errors when the connection breaks;
   * compare the digest before use.
   * @throws PhotonError fault `peer_unreachable`, defeat `peer_refused` (4xx), fault `peer_failed` (5xx)
   */
  get(node: string, path: string, signal?: AbortSignal): Promise<Readable>;
  /**
   * Opens a stream of bytes both ways on one of the peer's paths, such as `/consoles/acme/web-1`.
   * @throws PhotonError fault `peer_unreachable`; rejection, as the peer gives it; fault `peer_failed`
   */
  stream(node: string, path: string): Promise<Duplex>;
  /**
   * Sends bytes to a route of the peer that takes them. @returns its answer
   * @throws PhotonError like `get`; whether an unanswered request was handled is not known
   */
  post(node: string, path: string, bytes: Buffer): Promise<string>;
  /** The node is there again: it is dialled when next needed, without the rest of a pause. */
  retry(node: string): void;
  /** Ends every link; waiting requests are rejected as unknown. */
  close(): void;
  /** Cuts every link to a node that is no longer admitted, and every file that is being read from it. */
  review(): void;
  /** Names of the peers with a link now. */
  peers(): readonly string[];
}

interface Slot {
  link: PeerLink | undefined;
  failures: number;
  notBeforeMs: number;
}

const unreachable = (node: string, why: string, retryAfterMs?: number): PhotonError =>
  new PhotonError(
    'fault',
    'peer_unreachable',
    `Node ${node} cannot be reached: ${why}.`,
    retryAfterMs === undefined ? {} : { retryAfterMs },
  );

export function createPeerLinks(options: PeerLinksOptions): PeerLinks {
  const limits = { ...defaultPeerLimits, ...options.limits };
  const { clock, tls, random } = options;
  const admits: Admits = options.admits ?? (() => true);
  const reading = new Map<IncomingMessage | Duplex, Peer>();
  const log = options.log.child({ part: 'transport', node: options.nodeName });
  const slots = new Map<string, Slot>();
  let closed = false;

  const addressOf = (node: string): string => {
    if (closed) throw unreachable(node, 'this node is shutting its links');
    const url = options.addressOf(node);
    if (url === undefined) throw unreachable(node, 'no address of it is known', limits.backoffMaxMs);
    return url;
  };

  const linkTo = (node: string): PeerLink => {
    const url = addressOf(node);
    const slot = slots.get(node) ?? { link: undefined, failures: 0, notBeforeMs: 0 };
    slots.set(node, slot);
    if (slot.link !== undefined) return slot.link;
    const pauseMs = slot.notBeforeMs - clock.monotonicMs();
    if (pauseMs > 0) throw unreachable(node, 'the last attempt failed just now', Math.ceil(pauseMs));
    const dialledMs = clock.monotonicMs();
    const link = new PeerLink({
      node,
      url,
      tls: tls(),
      admits,
      clock,
      log,
      limits,
      onEnded: (opened) => {
        if (slot.link === link) slot.link = undefined;
        // A peer may accept every link and end it at once, for example because of what is sent first.
        const isSteady = opened && clock.monotonicMs() - dialledMs >= steadyMs;
        slot.failures = isSteady ? 0 : slot.failures + 1;
        const { backoffMinMs: minMs, backoffMaxMs: maxMs } = limits;
        // Every node lost this peer at the same moment, and must not dial it at the same moment.
        const fraction = random.fraction();
        slot.notBeforeMs = clock.monotonicMs() + backoffOf({ minMs, maxMs, failures: slot.failures, fraction });
      },
    });
    slot.link = link;
    return link;
  };

  return {
    async deliver(node, message) {
      const link = linkTo(node);
      if (link.full) return { result: 'busy', retryAfterMs: 50 };
      return link.request('m', message, limits.deliverTimeoutMs, readDelivery);
    },
    async command(node, command) {
      const link = linkTo(node);
      if (link.full) {
        const why = `Node ${node} answers more slowly than requests arrive; try again.`;
        throw new PhotonError('fault', 'peer_busy', why, { retryAfterMs: 50 });
      }
      return link.request('c', command, limits.commandTimeoutMs, readCommandAnswer);
    },
    async get(node, path, signal) {
      const { response, peer } = await fetchFrom({
        url: new URL(path, addressOf(node)),
        node,
        tls: tls(),
        admits,
        limits,
        signal,
      });
      if (response.statusCode === 200) {
        reading.set(response, peer);
        response.once('close', () => reading.delete(response));
        return response;
      }
      throw refusedBy(node, `GET ${path}`, response);
    },
    async post(node, path, bytes) {
      const url = new URL(path, addressOf(node));
      const signal = AbortSignal.timeout(limits.commandTimeoutMs);
      const { response } = await fetchFrom({ url, node, tls: tls(), admits, limits, signal, bytes });
      if (response.statusCode === 200) return text(response);
      throw refusedBy(node, `POST ${url.pathname}`, response);
    },
    async stream(node, path) {
      const url = new URL(path, addressOf(node));
      const { answer, peer } = await openStream({ url, node, tls: tls(), admits, limits, signal: undefined });
      if (!(answer instanceof Duplex)) throw await refusalIn(answer, node);
      reading.set(answer, peer);
      answer.once('close', () => reading.delete(answer));
      return answer;
    },
    retry(node) {
      const slot = slots.get(node);
      if (slot?.link === undefined) slots.delete(node);
    },
    review() {
      for (const { link } of slots.values()) link?.review();
      for (const [response, peer] of reading) if (!admits(peer)) response.destroy(new Error('the node was removed'));
    },
    close() {
      closed = true;
      for (const slot of slots.values()) slot.link?.end('this node is shutting its links');
    },
    peers: () => [...slots].filter(([, slot]) => slot.link !== undefined).map(([node]) => node),
  };
}

function refusedBy(node: string, asked: string, response: IncomingMessage): PhotonError {
  response.resume();
  const said = `Node ${node} answered ${response.statusCode ?? 0} to ${asked}.`;
  const refused = (response.statusCode ?? 500) < 500;
  return refused ? new PhotonError('defeat', 'peer_refused', said) : new PhotonError('fault', 'peer_failed', said);
}

interface Fetch {
  readonly url: URL;
  readonly node: string;
  readonly tls: PeerTls;
  readonly admits: Admits;
  readonly limits: PeerLimits;
  readonly signal: AbortSignal | undefined;
  /** Posted, when given. */
  readonly bytes?: Buffer;
}

function fetchFrom(fetch: Fetch): Promise<{ response: IncomingMessage; peer: Peer }> {
  return new Promise((resolve, reject) => {
    const request = dial(fetch, {}, reject, (peer) => {
      request.on('response', (response) => resolve({ response, peer }));
    });
  });
}

/** @returns the stream, or the answer of a peer that opened none */
function openStream(fetch: Fetch): Promise<{ answer: Duplex | IncomingMessage; peer: Peer }> {
  return new Promise((resolve, reject) => {
    const headers = { connection: 'Upgrade', upgrade: streamProtocol };
    const request = dial(fetch, headers, reject, (peer) => {
      request.on('response', (answer) => resolve({ answer, peer }));
      request.on('upgrade', (_, stream, head) => {
        if (head.length > 0) stream.unshift(head);
        // The time-out was for the answer: a console may be silent for hours.
        stream.setTimeout(0);
        resolve({ answer: stream, peer });
      });
    });
  });
}

/** A request whose connection proves the node. @param onProven called with the other end before it answers */
function dial(
  { url, node, tls, admits, limits, signal, bytes }: Fetch,
  headers: Readonly<Record<string, string>>,
  fail: (error: PhotonError) => void,
  onProven: (peer: Peer) => void,
): ClientRequest {
  const request = httpsRequest(url, {
    ...peerDialOptions(tls, node, admits, onProven),
    // No agent, because a pooled or resumed TLS session would skip the check of the peer's name.
    agent: false,
    headers: bytes === undefined ? headers : { ...headers, 'content-length': String(bytes.length) },
    ...(bytes === undefined ? {} : { method: 'POST' }),
    timeout: limits.deliverTimeoutMs,
    ...(signal === undefined ? {} : { signal }),
  });
  request.on('timeout', () => request.destroy(new Error('no byte in time')));
  request.on('error', (error) => fail(unreachable(node, error.message)));
  request.end(bytes);
  return request;
}

const refusalSchema = z.object({ code: z.string().max(100), message: z.string().max(1_000) });

async function refusalIn(answer: IncomingMessage, node: string): Promise<PhotonError> {
  const { statusCode = 0 } = answer;
  const said = `Node ${node} answered ${statusCode} and opened no stream.`;
  if (statusCode !== 409) {
    answer.resume();
    return new PhotonError('fault', 'peer_failed', said);
  }
  // An answer that is no JSON fits no refusal either.
  const refusal = refusalSchema.safeParse(await json(answer).catch(() => null));
  if (!refusal.success) return new PhotonError('fault', 'peer_failed', said);
  return new PhotonError('rejection', refusal.data.code, refusal.data.message);
}
