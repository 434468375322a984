/**
 * `node-supervisor-main.ts REQUEST`: what `photon supervise` becomes. It opens the sockets and hands them to a small
 * shell (listener-keeper.sh) that has them from then on and runs the program; this process only passes signals on and
 * ends with the shell. It closes its own descriptors in the turn in which they began to listen, because Node would
 * take connections from a socket that it has open.
 *
 * Killing the program, or this process, frees no address: the shell has them. They are free after SIGTERM, when the
 * program has handed over and ended, or when the shell and the program were killed. Rejected: a Node process as the
 * only holder (it cannot have a listening socket without taking connections), a program that execs its service
 * (nobody has the socket when that ends), the cluster module (it closes the socket with the last worker). Decision
 * 0028.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import { PhotonError, describeCause } from '@photoncloud/runtime/contract/errors';
import { ownDescriptor } from '@photoncloud/runtime/transport/address-holders';
import { openListener, type Listener } from '@photoncloud/runtime/transport/listener';

export interface SuperviseRequest {
  readonly listeners: readonly Listener[];
  /** Path and arguments of the program that gets the sockets. */
  readonly program: readonly string[];
}

const keeper = join(import.meta.dirname, 'listener-keeper.sh');
const passedOn = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

function descriptorOf({ name, address, listenPort }: Listener): number {
  const found = ownDescriptor(address, listenPort);
  if (found === undefined)
    throw new PhotonError('bug', 'no_descriptor', `listener ${name}: /proc does not show the socket that was opened`);
  return found;
}

/** @returns the exit status of the shell, which ends when it was told to */
async function supervise({ listeners, program }: SuperviseRequest): Promise<number> {
  const servers = listeners.map(() => createServer());
  await Promise.all(servers.map((server, at) => openListener(server, listeners[at] as Listener)));
  const names = listeners.map(({ name }) => name).join(':');
  const child = spawn('sh', [keeper, ...program], {
    stdio: ['ignore', 'inherit', 'inherit', ...listeners.map(descriptorOf)],
    env: { ...process.env, LISTEN_FDS: String(listeners.length), LISTEN_FDNAMES: names },
  });
  for (const server of servers) server.close();
  for (const signal of passedOn) process.on(signal, () => child.kill(signal));
  const [status, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  return status ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

try {
  process.exitCode = await supervise(JSON.parse(process.argv[2] ?? '') as SuperviseRequest);
} catch (error) {
  const code = error instanceof PhotonError ? ` (${error.record.code})` : '';
  console.error(`photon: ${error instanceof PhotonError ? error.message : describeCause(error)}${code}`);
  // A socket that was opened before the other one failed would keep the process alive.
  process.exit(1);
}
