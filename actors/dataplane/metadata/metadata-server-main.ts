/**
 * The metadata service of one VPC on one host, as a program of its own in the VPC's namespace: it goes on while the
 * worker or the controllers are down. Started as root by metadata-server.ts; it listens, and then gives up root for
 * good. It reads its own folder and nothing else (--permission), has bounded memory (--max-old-space-size),
 * connections, headers and times, and starts no program.
 *
 *     node [flags] metadata-server-main.ts FOLDER UID VERSION
 *
 * FOLDER has a file for each address of a guest, with its record. VERSION tells the worker which program this is.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { metadataAnswers, type Answered, type GuestRecord } from './metadata-answers.ts';

const [, , folder = '', uid = ''] = process.argv;
const mostConnections = 512;
const mostOfOne = 8;
const patienceMs = 5_000;

async function read(address: string): Promise<GuestRecord | null> {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(address)) return null;
  try {
    return JSON.parse(await readFile(join(folder, address), 'utf8')) as GuestRecord;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

const answer = metadataAnswers({ key: randomBytes(32), nowMs: () => performance.now(), read });

function serve(request: IncomingMessage, response: ServerResponse): void {
  const { method = '', url = '', headers, socket } = request;
  const say = ({ status, text, headers: more = {} }: Answered): void => {
    const length = Buffer.byteLength(text);
    response.writeHead(status, {
      'content-type': 'text/plain',
      'content-length': length,
      connection: 'close',
      ...more,
    });
    response.end(text);
  };
  request.resume();
  answer({ from: socket.remoteAddress ?? '', method, path: url, headers }).then(say, () =>
    say({ status: 500, text: 'the record of this guest cannot be read; try again\n' }),
  );
}

const server = createServer(
  {
    maxHeaderSize: 4_096,
    headersTimeout: patienceMs,
    requestTimeout: patienceMs,
    keepAliveTimeout: 1,
    connectionsCheckingInterval: 1_000,
  },
  serve,
);
server.maxConnections = mostConnections;
server.setTimeout(2 * patienceMs);

const open = new Map<string, number>();
server.on('connection', (socket: Socket) => {
  const from = socket.remoteAddress ?? '';
  const count = (open.get(from) ?? 0) + 1;
  open.set(from, count);
  socket.once('close', () => {
    const left = (open.get(from) ?? 1) - 1;
    if (left > 0) open.set(from, left);
    else open.delete(from);
  });
  if (count > mostOfOne) socket.destroy();
});

server.listen(80, '169.254.169.254', () => {
  process.setgroups?.([]);
  process.setgid?.(Number(uid));
  process.setuid?.(Number(uid));
});
