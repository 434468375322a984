/**
 * `relay-main.ts SOCKET MARK`: the process of a relay (cluster-relay.ts). Prints its TCP port and runs until it is
 * killed; `clean` finds the process by the mark in its command line.
 */
import { serveRelay } from './cluster-relay.ts';

const [socketPath = ''] = process.argv.slice(2);
process.stdout.write(`${await serveRelay(socketPath, 0)}\n`);
// The reader closes the pipe after the first line; nothing else is printed.
process.stdout.on('error', () => undefined);
