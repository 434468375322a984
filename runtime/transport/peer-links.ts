/**
 * All outgoing links of a node: binds the contract's Outlet to WebSocket. There is one multiplexed link per peer,
 * dialled when first needed and dialled again after a growing pause with jitter. The caller names the node;
 * runtime/directory decides who owns a shard.
 *
 * Each node dials a link for its own requests, so two nodes that send requests both ways hold two sockets. So there is
 * no tie to break when both dial at once, and the direction of a link says who sends requests.
 */
import { request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { backoffOf } from '../contract/backoff.ts';
import type { Clock } from '../contract/clock.ts';
import { PhotonError } from '../contract/errors.ts';
import type { Outlet } from '../contract/link.ts';
import type { Log } from '../contract/log.ts';
import type { Random } from '../contract/random.ts';
import { defaultPeerLimits, type PeerLimits } from './link-limits.ts';
import { peerDialOptions, type Admits, type Peer, type PeerTls } from './peer-identity.ts';
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
  const reading = new Map<IncomingMessage, Peer>();
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
        const text = `Node ${node} answers more slowly than requests arrive; try again.`;
        throw new PhotonError('fault', 'peer_busy', text, { retryAfterMs: 50 });
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
      response.resume();
      const text = `Node ${node} answered ${response.statusCode ?? 0} to GET ${path}.`;
      const refused = (response.statusCode ?? 500) < 500;
      throw refused ? new PhotonError('defeat', 'peer_refused', text) : new PhotonError('fault', 'peer_failed', text);
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

interface Fetch {
  readonly url: URL;
  readonly node: string;
  readonly tls: PeerTls;
  readonly admits: Admits;
  readonly limits: PeerLimits;
  readonly signal: AbortSignal | undefined;
}

function fetchFrom({
  url,
  node,
  tls,
  admits,
  limits,
  signal,
}: Fetch): Promise<{ response: IncomingMessage; peer: Peer }> {
  return new Promise((resolve, reject) => {
    let proven: Peer | undefined;
    const request = httpsRequest(url, {
      ...peerDialOptions(tls, node, admits, (peer) => (proven = peer)),
      // No agent, because a pooled or resumed TLS session would skip the check of the peer's name.
      agent: false,
      timeout: limits.deliverTimeoutMs,
      ...(signal === undefined ? {} : { signal }),
    });
    request.on('response', (response) => resolve({ response, peer: proven as Peer }));
    request.on('timeout', () => request.destroy(new Error('no byte in time')));
    request.on('error', (error) => reject(unreachable(node, error.message)));
    request.end();
  });
}
