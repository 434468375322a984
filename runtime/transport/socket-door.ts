/**
 * Stands before an HTTPS server: takes its connections and hands them over when the peer has begun to speak. Whoever
 * only connects costs neither a TLS state nor a slot for long, and handshakes, the dearest thing that a stranger can
 * ask for, are begun a few per turn of the event loop, so that beats and links go on between them.
 *
 * Sockets that have proven nothing yet are counted. When there are too many, the one that is open longest is closed and
 * the new one taken: whoever fills the door with idle sockets keeps nobody out, because a client needs only a moment to
 * prove itself. Rejected: refusing the new one (the idle ones would keep the door shut), and a count per address
 * (behind a relay everybody has the same one). Called by the composition roots for the control API and for peers.
 */
import { createServer, type Socket } from 'node:net';
import type { Server } from 'node:https';
import type { Clock } from '../contract/clock.ts';
import { openListener, type Listener } from './listener.ts';

const handshakesPerTurn = 4;

export interface SocketDoorOptions {
  /** Must not listen itself. */
  readonly server: Server;
  /** The event of the server by which a socket has proven itself and is not counted any more. */
  readonly provenBy: 'upgrade' | 'secureConnection';
  readonly maxIdleSockets: number;
  /** Time from the connection to the first byte. */
  readonly firstByteMs: number;
  readonly clock: Clock;
}

export interface SocketDoor {
  /** Listens in place of the HTTPS server. @returns the number of the port, which was chosen if 0 was given */
  listen(at: Listener): Promise<number>;
  /** Sockets that have not proven themselves. */
  idle(): number;
  /** Stops listening and closes what has not proven itself. */
  close(): void;
}

/** The same for the raw socket and for the TLS socket around it. */
const nameOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

export function createSocketDoor(options: SocketDoorOptions): SocketDoor {
  const { server, provenBy, maxIdleSockets, firstByteMs, clock } = options;
  /** Oldest first. */
  const idle = new Map<string, Socket>();
  const speaking: Socket[] = [];

  const handOver = (): void => {
    for (const socket of speaking.splice(0, handshakesPerTurn)) {
      if (!socket.destroyed) server.emit('connection', socket);
    }
    if (speaking.length > 0) setImmediate(handOver);
  };
  const onSpeaking = (socket: Socket): void => {
    if (speaking.push(socket) === 1) setImmediate(handOver);
  };
  const onConnection = (socket: Socket): void => {
    const name = nameOf(socket);
    const [oldest] = idle.values();
    if (idle.size >= maxIdleSockets) oldest?.destroy();
    idle.set(name, socket);
    const cancel = clock.after(firstByteMs, () => socket.destroy());
    // Without a listener an error of a socket that was not handed over yet would end the process.
    socket.on('error', () => socket.destroy());
    socket.once('readable', () => {
      cancel();
      // Also emitted at the end of a socket that never spoke.
      if (socket.readableLength > 0) onSpeaking(socket);
      else socket.destroy();
    });
    socket.once('close', () => {
      cancel();
      if (idle.get(name) === socket) idle.delete(name);
    });
  };
  server.on(provenBy, (given: { readonly socket?: Socket } & Partial<Socket>) => {
    idle.delete(nameOf((given.socket ?? given) as Socket));
  });
  const listener = createServer({ allowHalfOpen: true }, onConnection);
  // Upon this event the HTTPS server begins to look for requests that do not end, and for connections without one.
  listener.once('listening', () => server.emit('listening'));
  return {
    listen: (at) => openListener(listener, at),
    idle: () => idle.size,
    close() {
      listener.close();
      for (const socket of idle.values()) socket.destroy();
    },
  };
}
