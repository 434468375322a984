/**
 * Who a peer is: the common name of the certificate it proved to own, signed by the cluster's CA. Never a frame, a
 * header or an address. Both ends of every link and of every file copy between nodes go through this file.
 */
import type { IncomingMessage } from 'node:http';
import { TLSSocket, type ConnectionOptions, type PeerCertificate } from 'node:tls';

/** PEM texts. */
export interface PeerTls {
  readonly ca: string | Buffer;
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
}

const namePattern = /^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$/;

function commonNameOf(certificate: PeerCertificate): string | undefined {
  const name: unknown = certificate.subject?.CN;
  // Several CNs come as an array; such a certificate names nobody.
  return typeof name === 'string' && namePattern.test(name) ? name : undefined;
}

/** @returns the node's name, or undefined when the connection proved none. */
export function peerNameOf(request: IncomingMessage): string | undefined {
  const socket = request.socket;
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  return commonNameOf(socket.getPeerCertificate());
}

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
