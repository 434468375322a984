/**
 * The identity of a peer, and for whom it may speak: its name and role are the CN and OU of the certificate that it
 * proved to own, signed by the cluster's CA. They are never taken from a frame, a header or an address. Both ends of
 * every link, and of every file copy between nodes, use this file. A certificate may be refused all the same
 * (`Admits`): its node was removed (runtime/directory/revocations.ts).
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket, type ConnectionOptions, type PeerCertificate } from 'node:tls';
import { partsOf, type ActorId } from '../contract/identifiers.ts';

/** The name of a stream of bytes (`PeerLinks.stream`) in the header `Upgrade`. */
export const streamProtocol = 'photon.stream';

/** PEM texts. */
export interface PeerTls {
  readonly ca: string | Buffer;
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
}

const namePattern = /^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$/;

export interface Peer {
  readonly name: string;
  /** A certificate without a role counts as a worker's, which has the fewest rights. */
  readonly role: 'controller' | 'worker';
  /** When its certificate was issued, wall time in ms; 0 when that is unreadable, so that any revocation covers it. */
  readonly issuedMs: number;
}

/** Whether a node with a certificate of the cluster may have links. It may change its mind: see `review`. */
export type Admits = (peer: Peer) => boolean;

function commonNameOf(certificate: PeerCertificate): string | undefined {
  const name: unknown = certificate.subject?.CN;
  // A certificate with several CNs yields an array and is not accepted.
  return typeof name === 'string' && namePattern.test(name) ? name : undefined;
}

/** @returns the node of this certificate, or undefined when it names none */
function peerIn(certificate: PeerCertificate): Peer | undefined {
  const name = commonNameOf(certificate);
  const unit: unknown = certificate.subject?.OU;
  if (name === undefined) return undefined;
  const issuedMs = Date.parse(certificate.valid_from);
  const role = unit === 'controller' ? 'controller' : 'worker';
  return { name, role, issuedMs: Number.isFinite(issuedMs) ? issuedMs : 0 };
}

/** @returns the peer, or undefined when the connection has no valid certificate of a node. */
export const peerOf = (request: IncomingMessage): Peer | undefined => peerOn(request.socket);

export function peerOn(socket: Socket): Peer | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  return peerIn(socket.getPeerCertificate());
}

/**
 * Whether this peer may deliver messages of the actor `from`. A worker hosts only the actors pinned to it, so it may
 * speak for no other. A controller may own any shard, also the host shard of a fenced host.
 */
export const maySpeakFor = (peer: Peer, from: ActorId): boolean =>
  peer.role === 'controller' || partsOf(from).host === peer.name;

/** Commands carry the name of a principal, which only nodes that check tokens (controllers) can vouch for. */
export const mayCommand = (peer: Peer): boolean => peer.role === 'controller';

/**
 * TLS options for dialling: the connection fails unless the other end owns the certificate of `node` and is admitted.
 * @param onProven called with the other end before anything is sent
 */
export function peerDialOptions(
  tls: PeerTls,
  node: string,
  admits: Admits = () => true,
  onProven: (peer: Peer) => void = () => {},
): ConnectionOptions {
  return {
    ca: tls.ca,
    cert: tls.cert,
    key: tls.key,
    minVersion: 'TLSv1.3',
    rejectUnauthorized: true,
    checkServerIdentity: (_host, certificate) => {
      const peer = peerIn(certificate);
      if (peer?.name !== node) return new Error(`its certificate names ${peer?.name ?? 'no node'}, not ${node}`);
      if (!admits(peer)) return new Error('its certificate was revoked');
      onProven(peer);
      return undefined;
    },
  };
}
