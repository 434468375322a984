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
import { createPeerServer, type PeerRoute } from '@photoncloud/runtime/transport/peer-server';
import { createSocketDoor } from '@photoncloud/runtime/transport/socket-door';
import type { NodeFolder } from './node-config.ts';

export interface PeerPortOptions {
  readonly folder: NodeFolder;
  readonly inlet: Inlet;
  readonly routes: Readonly<Record<string, PeerRoute>>;
  readonly figures: () => Figures;
  readonly log: Log;
}

export interface PeerPort {
  /** Closes the links, then the port. */
  close(): Promise<void>;
}

export async function openPeerPort({ folder, inlet, routes, figures, log }: PeerPortOptions): Promise<PeerPort> {
  const { config, tls } = folder;
  const limits = { ...defaultPeerLimits, ...config.limits.peer };
  const { maxIdleSockets, connectTimeoutMs } = limits;
  const waits = { handshakeTimeout: connectTimeoutMs, headersTimeout: connectTimeoutMs };
  const admission = { requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' } as const;
  const server = createServer({ ...tls, ...admission, ...waits, connectionsCheckingInterval: connectTimeoutMs });
  const metrics: PeerRoute = (_, response) => void response.end(metricsText(figures()));
  const clock = systemClock;
  const peers = createPeerServer({ server, inlet, clock, log, limits, routes: { ...routes, '/metrics': metrics } });
  const provenBy = 'secureConnection';
  const door = createSocketDoor({ server, provenBy, maxIdleSockets, firstByteMs: connectTimeoutMs, clock });
  await door.listen(config.peerListenPort, config.address);
  return {
    async close() {
      await peers.close();
      door.close();
      server.close();
    },
  };
}
