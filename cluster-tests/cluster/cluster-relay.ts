/**
 * Relays a TCP port on 127.0.0.1, chosen by the kernel, to a Unix socket of a node. It passes bytes and does not look
 * at the protocol. `relay-main.ts` runs it in a process of its own, so that it outlives its starter as the nodes do.
 */
import { spawn } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import type { Topology } from './cluster-topology.ts';
import { processMark } from './topology-record.ts';
import { identify } from './process-identity.ts';

/** Listens on 127.0.0.1 and connects each connection to the socket. @returns the TCP port it listens on */
export async function serveRelay(socketPath: string, listenPort: number): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (outer) => {
    const inner = connect({ path: socketPath, allowHalfOpen: true });
    outer.pipe(inner).pipe(outer);
    // When one side breaks the other is closed; the next connection tries again (the controller may be restarting).
    outer.on('error', () => inner.destroy()).on('close', () => inner.destroy());
    inner.on('error', () => outer.destroy()).on('close', () => outer.destroy());
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(listenPort, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the relay has no TCP address');
  return address.port;
}

/** Starts the relay as its own process. @returns `127.0.0.1:<TCP port>`. */
export async function startRelay(topology: Topology, socketPath: string): Promise<string> {
  const mark = processMark(topology.prefix, 'relay');
  const main = join(import.meta.dirname, 'relay-main.ts');
  const argv = [main, socketPath, mark];
  const child = spawn(process.execPath, argv, { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
  const listenPort = await new Promise<string>((resolve, reject) => {
    child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()));
    child.once('error', reject).once('exit', () => reject(new Error(`the relay to ${socketPath} did not start`)));
  });
  child.stdout.destroy();
  child.unref();
  const url = `127.0.0.1:${listenPort}`;
  topology.update({ relays: [...topology.record.relays, { ...identify(child.pid ?? 0), url }] });
  return url;
}
