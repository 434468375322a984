/**
 * Test support: two nodes on loopback with certificates of one authority, and a stand-in for the Inlet that only
 * answers. What hosting does with messages is covered by its own tests.
 */
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { clientClock } from '../client/client-clock.ts';
import { actorId } from '../contract/identifiers.ts';
import type { Command, Message } from '../contract/envelope.ts';
import { PhotonError, type ErrorGroup } from '../contract/errors.ts';
import type { Inlet } from '../contract/link.ts';
import type { Log } from '../contract/log.ts';
import type { Random } from '../contract/random.ts';
import { createTestAuthority } from './certificates-for-tests.ts';
import type { PeerLimits } from './link-limits.ts';
import type { Admits, PeerTls } from './peer-identity.ts';
import { createPeerLinks, type PeerLinks } from './peer-links.ts';
import { createPeerServer, type PeerServer, type PeerServerOptions } from './peer-server.ts';
import { patienceMs } from '../contract/patience-for-tests.ts';

export const authority = createTestAuthority();
export const w1 = authority.issue('w1');
export const c1 = authority.issue('c1');
export const worker = authority.issue('w2', 'worker');
export const stranger = createTestAuthority().issue('c1');

const random: Random = { ulid: (wallMs) => `01J${wallMs}`, fraction: () => 0.5 };
export const quiet: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet };

export const message = (seq: number, text = ''): Message => ({
  to: actorId('vm/acme/web-1'),
  from: actorId('port/acme/web-1.eth0'),
  senderUid: '01J0000000000000000000000',
  era: 1,
  seq,
  after: seq - 1,
  event: { type: 'port.ready', text },
  cause: 'port/acme/web-1.eth0@4',
});
export const command = (text: string): Command => ({
  to: actorId('vm/acme/web-1'),
  commandId: 'ann:1',
  digest: 'd',
  principal: 'ann',
  event: { type: 'vm.start', text },
});

export interface Side {
  readonly url: string;
  readonly server: Server;
  readonly peers: PeerServer;
  readonly sockets: Set<Socket>;
  stop(): Promise<void>;
}

export async function listen(
  inlet: Inlet,
  tls: PeerTls = w1,
  more: Partial<PeerServerOptions> = {},
  at = 0,
  rejectUnauthorized = true,
): Promise<Side> {
  const server = createServer({ ...tls, requestCert: true, rejectUnauthorized, minVersion: 'TLSv1.3' });
  const peers = createPeerServer({ server, inlet, clock: clientClock, log: quiet, ...more });
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(at, '127.0.0.1', resolve));
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const stop = async (): Promise<void> => {
    await peers.close();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url, server, peers, sockets, stop };
}

export const inletOf = (more: Partial<Inlet> = {}): Inlet => ({
  deliver: async () => ({ result: 'applied' }),
  command: async () => ({ ok: true, version: 7, result: { started: true } }),
  ...more,
});

export const linksTo = (
  url: string | undefined,
  tls: PeerTls | (() => PeerTls) = c1,
  limits: Partial<PeerLimits> = {},
  admits: Admits = () => true,
): PeerLinks =>
  createPeerLinks({
    tls: typeof tls === 'function' ? tls : () => tls,
    admits,
    nodeName: 'c1',
    addressOf: () => url,
    clock: clientClock,
    random,
    log: quiet,
    limits,
  });

export async function refusal(work: Promise<unknown>): Promise<{ group: ErrorGroup; code: string; message: string }> {
  try {
    await work;
  } catch (error) {
    if (error instanceof PhotonError) return error.record;
    throw error;
  }
  throw new Error('expected a refusal');
}

export async function until(holds: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + patienceMs();
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
