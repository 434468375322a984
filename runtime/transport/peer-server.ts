/**
 * The accepting end of links between nodes: serves WebSocket upgrades on /peer and mounted routes (image copies,
 * history runs, uploads) on one HTTPS server, both only for clients with a certificate of the cluster. Requests go
 * to the Inlet in the order of arrival and are answered when the Inlet answers, which is after the commit (G4 in
 * docs/promises.md). Whether a message may be applied is the Inlet's decision.
 */
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Clock } from '../contract/clock.ts';
import { PhotonError } from '../contract/errors.ts';
import type { Inlet } from '../contract/link.ts';
import type { Log } from '../contract/log.ts';
import { defaultPeerLimits, type PeerLimits } from './link-limits.ts';
import { acceptPeer } from './peer-acceptance.ts';
import { peerOf, peerOn, streamProtocol, type Admits, type Peer } from './peer-identity.ts';

export type PeerRoute = (request: IncomingMessage, response: ServerResponse, peer: string) => void;

/**
 * A stream of bytes both ways that a peer has opened, such as a console. @returns the stream, or a rejection, which the
 * peer is told
 */
export type PeerStream = (path: string, peer: Peer) => Promise<Duplex>;

export interface PeerServerOptions {
  /** Must be created with `requestCert: true, rejectUnauthorized: true` and the cluster's CA. */
  readonly server: Server;
  readonly inlet: Inlet;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<PeerLimits>;
  /** Path prefix (`/blobs/`) -> handler of the paths below it; only called for peers. */
  readonly routes?: Readonly<Record<string, PeerRoute>>;
  /** Path prefix (`/consoles/`) -> opens the stream of a path below it; only called for peers. */
  readonly streams?: Readonly<Record<string, PeerStream>>;
  /** The same for what peers send (POST). The handler bounds what it reads. */
  readonly posts?: Readonly<Record<string, PeerRoute>>;
  /** Which nodes with a certificate of the cluster may have links. Default: every one. */
  readonly admits?: Admits;
}

export interface PeerServer {
  /**
   * Closes all links (1012, restarting) and waits until their sockets are gone. The caller closes the HTTPS server.
   */
  close(): Promise<void>;
  peers(): readonly string[];
  /** Cuts every connection of a node that is no longer admitted: links, and copies that are being read. */
  review(): void;
}

export function createPeerServer(options: PeerServerOptions): PeerServer {
  const limits = { ...defaultPeerLimits, ...options.limits };
  const { server, inlet, clock } = options;
  const log = options.log.child({ part: 'transport' });
  const admits: Admits = options.admits ?? (() => true);
  const connections = new Set<TLSSocket>();
  const sockets = new Map<string, Set<WebSocket>>();
  const acceptor = new WebSocketServer({
    noServer: true,
    maxPayload: limits.maxFrameBytes,
    perMessageDeflate: false,
    clientTracking: true,
    handleProtocols: (offered) => (offered.has('photon.peer') ? 'photon.peer' : false),
  });

  const onSocket = (socket: WebSocket, peer: Peer): void => {
    const held = sockets.get(peer.name) ?? new Set();
    sockets.set(peer.name, held);
    held.add(socket);
    socket.once('close', () => held.delete(socket));
    for (const oldest of held) {
      if (held.size <= limits.maxLinksPerPeer) break;
      held.delete(oldest);
      oldest.close(4409, 'superseded by a newer link');
    }
    acceptPeer({ socket, peer, inlet, clock, log: log.child({ peer: peer.name }), limits });
  };

  const onUpgrade = (request: IncomingMessage, stream: Duplex, head: Buffer): void => {
    stream.on('error', (error) => log.debug({ why: error.message }, 'a link failed while it was opened'));
    const peer = peerOf(request);
    const path = pathOf(request);
    const opener = Object.entries(options.streams ?? {}).find(([prefix]) => path.startsWith(prefix))?.[1];
    if (path !== '/peer' && opener === undefined) return refuse(stream, 404);
    if (peer === undefined || !admits(peer)) {
      log.warn(
        { peer: peer?.name, from: request.socket.remoteAddress },
        'refused a link without the certificate of a node, or with a revoked one',
      );
      return refuse(stream, 403);
    }
    if (opener !== undefined) return void joinStream({ opener, path, peer, stream, head, log });
    acceptor.handleUpgrade(request, stream, head, (socket) => onSocket(socket, peer));
    return undefined;
  };

  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const peer = peerOf(request);
    const path = pathOf(request);
    const isPost = request.method === 'POST';
    const route = Object.entries((isPost ? options.posts : options.routes) ?? {}).find(([prefix]) =>
      path.startsWith(prefix),
    )?.[1];
    if (peer === undefined || !admits(peer)) {
      response.writeHead(403).end();
    } else if (route === undefined) {
      response.writeHead(404).end();
    } else if (!isPost && request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD, POST' }).end();
    } else {
      route(request, response, peer.name);
    }
  };

  const onConnection = (socket: TLSSocket): void => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  };

  server.on('secureConnection', onConnection);
  server.on('upgrade', onUpgrade);
  server.on('request', onRequest);
  return {
    review() {
      for (const socket of connections) {
        const peer = peerOn(socket);
        if (peer === undefined || admits(peer)) continue;
        log.warn({ peer: peer.name, from: socket.remoteAddress }, 'cut a connection of a node that was removed');
        socket.destroy();
      }
    },
    async close() {
      server.off('secureConnection', onConnection);
      server.off('upgrade', onUpgrade);
      server.off('request', onRequest);
      const gone = [...acceptor.clients].map((socket) => closeSoon(socket, clock));
      acceptor.close();
      await Promise.all(gone);
    },
    peers: () => [...sockets].filter(([, held]) => held.size > 0).map(([peer]) => peer),
  };
}

const pathOf = (request: IncomingMessage): string => (request.url ?? '/').split('?', 1)[0] as string;

interface Joining {
  readonly opener: PeerStream;
  readonly path: string;
  readonly peer: Peer;
  readonly stream: Duplex;
  readonly head: Buffer;
  readonly log: Log;
}

/** Opens the stream of a path, and passes bytes both ways until either end closes. */
async function joinStream({ opener, path, peer, stream, head, log }: Joining): Promise<void> {
  let far: Duplex;
  try {
    far = await opener(path, peer);
  } catch (error) {
    if (!(error instanceof PhotonError)) throw error;
    const { group, code, message } = error.record;
    log.debug({ peer: peer.name, code }, 'a stream was refused');
    return refuse(stream, group === 'rejection' ? 409 : 503, JSON.stringify({ code, message }));
  }
  stream.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${streamProtocol}\r\n\r\n`);
  if (head.length > 0) far.write(head);
  stream.pipe(far).pipe(stream);
  // The end of either is that of both: half a stream is of no use, and would keep the far end busy.
  stream.on('error', () => far.destroy());
  for (const end of ['end', 'close']) stream.once(end, () => far.destroy());
  far.on('error', (error) => log.debug({ peer: peer.name, why: error.message }, 'a stream was cut'));
  far.once('close', () => stream.end(() => stream.destroy()));
  return undefined;
}

function refuse(stream: Duplex, status: number, body = ''): void {
  const rest = `Connection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  stream.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${rest}`, () => stream.destroy());
}

function closeSoon(socket: WebSocket, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    if (socket.readyState === socket.CLOSED) return resolve();
    const cancel = clock.after(1_000, () => socket.terminate());
    socket.once('close', () => {
      cancel();
      resolve();
    });
    socket.close(1012, 'restarting');
    return undefined;
  });
}
