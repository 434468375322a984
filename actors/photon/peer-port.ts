/**
 * The port of a node for its peers: links, files and figures over mutual TLS, behind a door against strangers. Opened
 * by member-node.ts, before the node joins its cluster.
 */
import { createServer } from 'node:https';
import type { Inlet } from '@photoncloud/runtime/contract/link';
import type { Log } from '@photoncloud/runtime/contract/log';
import { systemClock } from '@photoncloud/runtime/hosting/system-clock';
import { metricsText, type Figures } from '@photoncloud/runtime/telemetry/metrics';
import { defaultPeerLimits } from '@photoncloud/runtime/transport/link-limits';
import type { Admits } from '@photoncloud/runtime/transport/peer-identity';
import {
  createPeerServer,
  type PeerRoute,
  type PeerServer,
  type PeerStream,
} from '@photoncloud/runtime/transport/peer-server';
import type { Listener } from '@photoncloud/runtime/transport/listener';
import { createSocketDoor } from '@photoncloud/runtime/transport/socket-door';
import { tlsVersion, type NodeCertificate } from './node-certificate.ts';
import type { NodeFolder } from './node-config.ts';

export interface PeerPortOptions {
  readonly folder: NodeFolder;
  readonly listener: Listener;
  readonly certificate: NodeCertificate;
  readonly inlet: Inlet;
  readonly admits: Admits;
  readonly routes: Readonly<Record<string, PeerRoute>>;
  readonly streams: Readonly<Record<string, PeerStream>>;
  readonly posts: Readonly<Record<string, PeerRoute>>;
  readonly figures: () => Figures;
  readonly log: Log;
}

export interface PeerPort extends Pick<PeerServer, 'review'> {
  /** Closes the links, then the port. */
  close(): Promise<void>;
}

export async function openPeerPort(options: PeerPortOptions): Promise<PeerPort> {
  const { folder, listener, certificate, inlet, admits, routes, posts, streams, figures, log } = options;
  const { config } = folder;
  const limits = { ...defaultPeerLimits, ...config.limits.peer };
  const { maxIdleSockets, connectTimeoutMs } = limits;
  const waits = { handshakeTimeout: connectTimeoutMs, headersTimeout: connectTimeoutMs };
  const admission = { requestCert: true, rejectUnauthorized: true, ...tlsVersion } as const;
  const checks = { ...waits, connectionsCheckingInterval: connectTimeoutMs };
  const server = createServer({ ...certificate.tls, ...admission, ...checks });
  certificate.onChange((tls) => server.setSecureContext({ ...tls, ...tlsVersion }));
  const metrics: PeerRoute = (_, response) => void response.end(metricsText(figures()));
  const clock = systemClock;
  const all = { ...routes, '/metrics': metrics };
  const peers = createPeerServer({ server, inlet, admits, clock, log, limits, routes: all, posts, streams });
  const provenBy = 'secureConnection';
  const door = createSocketDoor({ server, provenBy, maxIdleSockets, firstByteMs: connectTimeoutMs, clock });
  await door.listen(listener);
  return {
    review: () => peers.review(),
    async close() {
      await peers.close();
      door.close();
      server.close();
    },
  };
}
