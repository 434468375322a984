/**
 * Who a peer is, and for whom it may speak: name and role stand in the certificate it proved to own, signed by the
 * cluster's CA (CN and OU). Never in a frame, a header or an address. Both ends of every link and of every file copy
 * between nodes go through this file.
 */
import type { IncomingMessage } from 'node:http';
import { TLSSocket, type ConnectionOptions, type PeerCertificate } from 'node:tls';
import { partsOf, type ActorId } from '../contract/identifiers.ts';

/** PEM texts. */
export interface PeerTls {
  readonly ca: string | Buffer;
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
}

const namePattern = /^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$/;

export interface Peer {
  readonly name: string;
  /** A certificate without a role is a worker's: it gets the least. */
  readonly role: 'controller' | 'worker';
}

function commonNameOf(certificate: PeerCertificate): string | undefined {
  const name: unknown = certificate.subject?.CN;
  // Several CNs come as an array; such a certificate names nobody.
  return typeof name === 'string' && namePattern.test(name) ? name : undefined;
}

/** @returns the node, or undefined when the connection proved none. */
export function peerOf(request: IncomingMessage): Peer | undefined {
  const socket = request.socket;
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const certificate = socket.getPeerCertificate();
  const name = commonNameOf(certificate);
  const unit: unknown = certificate.subject?.OU;
  return name === undefined ? undefined : { name, role: unit === 'controller' ? 'controller' : 'worker' };
}

/**
 * Whether messages of `from` may come from this peer: a worker hosts the actors pinned to it and no others, so what it
 * says in the name of any other is a lie. A controller may own every shard, also that of a host that is gone.
 */
export const maySpeakFor = (peer: Peer, from: ActorId): boolean =>
  peer.role === 'controller' || partsOf(from).host === peer.name;

/** Commands bear the name of a principal, which only the nodes that check tokens can vouch for. */
export const mayCommand = (peer: Peer): boolean => peer.role === 'controller';

/** Dial options under which the connection fails unless the other end owns the certificate of `node`. */
export function peerDialOptions(tls: PeerTls, node: string): ConnectionOptions {
  return {
    ca: tls.ca,
    cert: tls.cert,
    key: tls.key,
    minVersion: 'TLSv1.3',
    rejectUnauthorized: true,
    checkServerIdentity: (_host, certificate) => {
      const name = commonNameOf(certificate);
      return name === node ? undefined : new Error(`its certificate names ${name ?? 'no node'}, not ${node}`);
    },
  };
}
