/**
 * Opens a listener, the address at which a service accepts connections, in one of two ways. With a descriptor the
 * address is held: another process (systemd, `photon supervise`) has bound it and goes on having it when this one
 * ends, so nobody can take it meanwhile, and connections wait in its backlog. A descriptor with another address than
 * the declared one is refused. Without a descriptor this process binds the address itself, and it is free whenever
 * the process is not there. The address is never probed first, and it is never shared (no SO_REUSEPORT). Called by
 * the composition roots for peers and for the control API; decision 0028 says why it is done so.
 */
import type { AddressInfo, Server } from 'node:net';
import { PhotonError } from '../contract/errors.ts';
import { nameHolders } from './address-holders.ts';

/**
 * How many connections wait for the service at most, also while it is down. Of further ones the first packet is
 * dropped, and the kernel of the client sends it again.
 */
export const listenBacklog = 511;

/** Codes of Linux that say that something else has the address, or that this host does not. */
const advice: Readonly<Record<string, string>> = {
  EADDRNOTAVAIL: 'this host does not have the address; correct node.json, or give the address to an interface',
  EACCES: 'ports below 1024 need privileges; choose a higher one',
};

export interface Listener {
  /** `api`: as in LISTEN_FDNAMES and in errors. */
  readonly name: string;
  /** An IPv4 address as a literal. */
  readonly address: string;
  readonly listenPort: number;
  /** Of the socket that is held for this process. */
  readonly descriptor?: number;
}

const textOf = ({ name, address, listenPort }: Listener): string => `listener ${name} at ${address}:${listenPort}`;

function explain(listener: Listener, cause: unknown): PhotonError {
  const code = String((cause as NodeJS.ErrnoException | undefined)?.code);
  if (listener.descriptor !== undefined) {
    const what = `descriptor ${listener.descriptor} is no socket that can listen (${code})`;
    const text = `${textOf(listener)}: ${what}; correct what starts this process`;
    return new PhotonError('defeat', 'listener_mismatch', text, { cause });
  }
  if (code === 'EADDRINUSE') {
    const who = nameHolders(listener.address, listener.listenPort);
    const text = `${textOf(listener)} is taken by ${who}; end it, or declare another port`;
    return new PhotonError('defeat', 'listener_taken', text, { cause });
  }
  const text = `${textOf(listener)} cannot be opened (${code}): ${advice[code] ?? 'see the cause'}`;
  return new PhotonError('defeat', 'listener_failed', text, { cause });
}

/**
 * @returns the number of the port, which was chosen if 0 was given
 * @throws PhotonError defeat `listener_taken`, `listener_mismatch`, `listener_failed`
 */
export async function openListener(server: Server, listener: Listener): Promise<number> {
  const { address, listenPort, descriptor } = listener;
  await new Promise<void>((resolve, fail) => {
    const onError = (error: unknown): void => fail(explain(listener, error));
    server.once('error', onError);
    const onListening = (): void => {
      server.off('error', onError);
      resolve();
    };
    const where = descriptor === undefined ? { host: address, port: listenPort } : { fd: descriptor };
    try {
      server.listen({ ...where, backlog: listenBacklog }, onListening);
    } catch (error) {
      onError(error);
    }
  });
  // Still in the turn in which it began to listen: nothing was accepted yet.
  const bound = server.address() as AddressInfo | string | null;
  if (descriptor === undefined) return (bound as AddressInfo).port;
  const found = typeof bound === 'object' && bound !== null ? `${bound.address}:${bound.port}` : String(bound);
  if (found === `${address}:${listenPort}`) return listenPort;
  server.close();
  const text = `${textOf(listener)}: descriptor ${descriptor} has ${found}; give the declared address to what holds it`;
  throw new PhotonError('defeat', 'listener_mismatch', text);
}
