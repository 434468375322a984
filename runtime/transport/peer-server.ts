/**
 * The accepting end of links between nodes: serves WebSocket upgrades on /peer and mounted GET routes (image copies,
 * history runs) on one HTTPS server, both only for clients with a certificate of the cluster. Requests go to the Inlet
 * in the order of arrival and are answered when the Inlet answers, which is after the commit (G4 in docs/promises.md).
 * Whether a message may be applied is the Inlet's decision.
 */
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Clock } from '../contract/clock.ts';
import type { Inlet } from '../contract/link.ts';
import type { Log } from '../contract/log.ts';
import { defaultPeerLimits, type PeerLimits } from './link-limits.ts';
import { acceptPeer } from './peer-acceptance.ts';
import { peerOf, peerOn, type Admits, type Peer } from './peer-identity.ts';

export type PeerRoute = (request: IncomingMessage, response: ServerResponse, peer: string) => void;

export interface PeerServerOptions {
  /** Must be created with `requestCert: true, rejectUnauthorized: true` and the cluster's CA. */
  readonly server: Server;
  readonly inlet: Inlet;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<PeerLimits>;
  /** Path prefix (`/blobs/`) -> handler of the paths below it; only called for peers. */
  readonly routes?: Readonly<Record<string, PeerRoute>>;
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
    if (pathOf(request) !== '/peer') return refuse(stream, 404);
    if (peer === undefined || !admits(peer)) {
      log.warn(
        { peer: peer?.name, from: request.socket.remoteAddress },
        'refused a link without the certificate of a node, or with a revoked one',
      );
      return refuse(stream, 403);
    }
    acceptor.handleUpgrade(request, stream, head, (socket) => onSocket(socket, peer));
    return undefined;
  };

  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const peer = peerOf(request);
    const path = pathOf(request);
    const route = Object.entries(options.routes ?? {}).find(([prefix]) => path.startsWith(prefix))?.[1];
    if (peer === undefined || !admits(peer)) {
      response.writeHead(403).end();
    } else if (route === undefined) {
      response.writeHead(404).end();
    } else if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end();
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

function refuse(stream: Duplex, status: number): void {
  const text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;
  stream.end(text, () => stream.destroy());
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
