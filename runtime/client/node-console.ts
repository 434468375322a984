/** The WebSocket of a console in Node: to the same server as the client, whose token it uses. Not for browsers. */
import { WebSocket } from 'ws';
import { reject } from '../contract/errors.ts';
import { consoleProtocol } from '../control-api/console-door.ts';
import type { NodeSocketOptions } from './node-socket.ts';

export interface ConsoleListener {
  onBytes(bytes: Buffer): void;
}

export interface ConsoleSocket {
  /** @returns whether more should be written now */
  write(bytes: Buffer): boolean;
  close(): void;
  /** Calls the listener once the server has opened the console; what is written before is dropped. */
  onOpen(listener: () => void): void;
  /** Resolves with the reason when the run has ended or `close` was called. @throws rejection `console_closed` */
  readonly ended: Promise<string>;
}

/** The server takes frames of 16 KiB. */
const frameBytes = 8 << 10;
const heldBytes = 64 << 10;

/**
 * @param url of the control API; its path is replaced
 * @param path and token as `actor.console` has answered
 */
export function openConsole(
  options: NodeSocketOptions,
  url: string,
  { path, token }: { readonly path: string; readonly token: string },
  listener: ConsoleListener,
): ConsoleSocket {
  const { socketPath, connectTimeoutMs = 10_000, ...tls } = options;
  const address = socketPath === undefined ? new URL(path, url).href : `ws+unix:${socketPath}:${path}`;
  const socket = new WebSocket(address, consoleProtocol, {
    ...tls,
    handshakeTimeout: connectTimeoutMs,
    perMessageDeflate: false,
    followRedirects: false,
  });
  let isLeaving = false;
  let opened = (): void => {};
  let why = '';
  const ended = new Promise<string>((resolve, fail) => {
    socket.on('error', (error) => (why ||= error.message));
    socket.on('close', (code, reason) => {
      const text = String(reason) || why || `the console was closed (${code})`;
      if (isLeaving || code === 1000) resolve(text);
      else fail(reject('console_closed', text));
    });
  });
  socket.on('open', () => socket.send(JSON.stringify({ token })));
  socket.on('message', (bytes, isBinary) => {
    if (isBinary) listener.onBytes(bytes as Buffer);
    else opened();
  });
  return {
    write(bytes) {
      for (let at = 0; at < bytes.length; at += frameBytes)
        if (socket.readyState === socket.OPEN) socket.send(bytes.subarray(at, at + frameBytes));
      return socket.bufferedAmount < heldBytes;
    },
    onOpen: (call) => (opened = call),
    close() {
      isLeaving = true;
      socket.close(1000, 'left');
    },
    ended,
  };
}
