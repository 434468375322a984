/**
 * The internet of image-sources.test.ts, a program of its own in its own namespace: servers for http and https that
 * behave well or badly, by path, and a name server whose answers change. It prints a line of JSON for every connection
 * and every request. Arguments: folder with key.pem, cert.pem and disk.raw. Not part of the product.
 */
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import path from 'node:path';

const [, , folder = ''] = process.argv;
const disk = readFileSync(path.join(folder, 'disk.raw'));
const say = (event: object): void => void process.stdout.write(`${JSON.stringify(event)}\n`);

/** The first byte that a range asks for; 0 without one, or when it is of other bytes. */
function wantedFrom(request: IncomingMessage, etag: string): number {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  return request.headers['if-range'] === etag ? from : 0;
}

function serve(request: IncomingMessage, response: ServerResponse, until = disk.length, etag = '"v1"'): void {
  const from = wantedFrom(request, etag);
  response.setHeader('etag', etag);
  response.setHeader('content-length', disk.length - from);
  if (from > 0) response.setHeader('content-range', `bytes ${from}-${disk.length - 1}/${disk.length}`);
  response.writeHead(from > 0 ? 206 : 200);
  if (until >= disk.length) response.end(disk.subarray(from));
  else response.write(disk.subarray(from, Math.max(from + 1, until)), () => setTimeout(() => response.destroy(), 100));
}

function drip(response: ServerResponse, bytes: Buffer, eachMs: number): void {
  const timer = setInterval(() => response.write(bytes), eachMs);
  response.on('close', () => clearInterval(timer));
}

let version = 0;
const behaviours: Readonly<Record<string, (request: IncomingMessage, response: ServerResponse, url: URL) => void>> = {
  '/good': (request, response) => serve(request, response),
  '/break': (request, response, url) => serve(request, response, Number(url.searchParams.get('at'))),
  '/changing': (request, response) => serve(request, response, 100_000, `"v${(version += 1)}"`),
  '/no-range': (_, response) => response.writeHead(200, { 'content-length': disk.length }).end(disk),
  '/chunked': (_, response) => response.writeHead(200).end(disk),
  '/paced': (_, response) => {
    response.writeHead(200, { 'content-length': disk.length });
    let at = 0;
    const timer = setInterval(() => {
      response.write(disk.subarray(at, (at += disk.length / 16)));
      if (at >= disk.length) response.end(() => clearInterval(timer));
    }, 400);
    response.on('close', () => clearInterval(timer));
  },
  '/redirect': (_, response, url) => response.writeHead(302, { location: url.searchParams.get('to') ?? '' }).end(),
  '/redirects': (_, response, url) => {
    const left = Number(url.searchParams.get('left'));
    response.writeHead(302, { location: left > 1 ? `/redirects?left=${left - 1}` : '/good' }).end();
  },
  '/endless': (_, response) => {
    const more = (): void =>
      void (
        response.destroyed ||
        (response.write(Buffer.alloc(1 << 16, 3)) ? setImmediate(more) : response.once('drain', more))
      );
    response.writeHead(200);
    more();
  },
  '/more-than-said': (_, response) => {
    response.socket?.end(`HTTP/1.1 200 OK\r\ncontent-length: 70000\r\n\r\n${'x'.repeat(200_000)}`);
  },
  '/less-than-said': (_, response) => {
    response.socket?.end(`HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n${'x'.repeat(70_000)}`);
  },
  '/loris': (_, response) => {
    response.writeHead(200, { 'content-length': disk.length });
    drip(response, Buffer.alloc(1, 3), 200);
  },
  '/loris-head': (_, response) => {
    response.socket?.write('HTTP/1.1 200 OK\r\n');
    const timer = setInterval(() => response.socket?.write('x: y\r\n'), 200);
    response.socket?.on('close', () => clearInterval(timer));
  },
  '/silent': () => {},
  '/huge': (_, response) => {
    response.writeHead(200, { 'content-length': 2 ** 50 });
    response.flushHeaders();
  },
  '/encoded': (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(disk),
  '/long-head': (_, response) => {
    response.socket?.end(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(1 << 20)}\r\n\r\n`);
  },
  '/other-range': (_, response) =>
    response.writeHead(206, { 'content-range': `bytes 7-9/${disk.length}`, 'content-length': 3 }).end('abc'),
  '/missing': (_, response) => response.writeHead(404).end(),
  '/busy': (_, response) => response.writeHead(503).end(),
  '/qcow2': (_, response) => {
    // The header says what it is; the rest would never end.
    response.writeHead(200, { 'content-length': 4 << 20 });
    response.write(Buffer.concat([Buffer.from('KDMV'), Buffer.alloc(70_000)]));
    drip(response, Buffer.alloc(10_000, 1), 100);
  },
};

function onRequest(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://x');
  const { host, range, authorization } = request.headers;
  say({ event: 'request', path: url.pathname, host, range, authorization });
  response.on('error', () => {});
  const behave = behaviours[url.pathname];
  if (behave === undefined) response.writeHead(404).end();
  else behave(request, response, url);
}

const pem = { key: readFileSync(path.join(folder, 'key.pem')), cert: readFileSync(path.join(folder, 'cert.pem')) };
const servers = [http.createServer(onRequest).listen(80, '::'), https.createServer(pem, onRequest).listen(443, '::')];
for (const server of servers)
  server.on('connection', (socket) => {
    socket.on('error', () => {});
    say({ event: 'connection', to: socket.localAddress?.replace('::ffff:', '') });
  });

const asked = new Map<string, number>();
const names: Readonly<Record<string, (times: number) => readonly string[]>> = {
  'good.test': () => ['12.0.0.1'],
  'meta.test': () => ['169.254.169.254'],
  'private.test': () => ['10.9.9.9'],
  'mixed.test': () => ['12.0.0.1', '10.9.9.9'],
  // A public address for the check, a private one for the connection.
  'rebind.test': (times) => (times === 1 ? ['12.0.0.1'] : ['10.9.9.9']),
};

/** Answers questions for A records; of other types there are none. */
const resolver = createSocket('udp4', (question, { port, address }) => {
  let at = 12;
  const labels: string[] = [];
  while ((question[at] ?? 0) > 0) labels.push(question.toString('latin1', at + 1, (at += 1 + (question[at] ?? 0))));
  const name = labels.join('.');
  const isA = question.readUInt16BE(at + 1) === 1;
  if (isA) asked.set(name, (asked.get(name) ?? 0) + 1);
  const found = isA ? (names[name]?.(asked.get(name) ?? 0) ?? []) : [];
  if (isA) say({ event: 'name', name, found });
  const head = Buffer.from(question.subarray(0, at + 5));
  head.writeUInt16BE(names[name] === undefined ? 0x8183 : 0x8180, 2);
  head.writeUInt16BE(found.length, 6);
  head.writeUInt16BE(0, 8);
  head.writeUInt16BE(0, 10);
  const answers = found.map((one) =>
    Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...one.split('.').map(Number)]),
  );
  resolver.send(Buffer.concat([head, ...answers]), port, address);
});
resolver.bind(53, '12.0.0.53', () => say({ event: 'ready' }));
