/**
 * `relay-main.ts SOCKET MARK`: a relay as a process (cluster-relay.ts). Prints its TCP port and stays until it is
 * killed; the mark is there only to be found in the process list by `clean`.
 */
import { serveRelay } from './cluster-relay.ts';

const [socketPath = ''] = process.argv.slice(2);
process.stdout.write(`${await serveRelay(socketPath, 0)}\n`);
// The reader goes away after the first line; nothing else is ever printed.
process.stdout.on('error', () => undefined);
