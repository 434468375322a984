/**
 * WebSocket for the client in Node: TLS with a private authority, or a unix socket of the same machine. Not for
 * browsers.
 */
import { WebSocket } from 'ws';
import type { SocketFactory } from './client-socket.ts';

export interface NodeSocketOptions {
  /** PEM; the system's authorities without it. */
  readonly ca?: string | Buffer;
  /** The name the server's certificate must bear, when it differs from the URL's host. */
  readonly servername?: string;
  /** Mutual TLS, PEM. */
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  /** Dials this socket; the URL then only names the path. */
  readonly socketPath?: string;
  readonly connectTimeoutMs?: number;
}

/** Answers of the server may be longer than what it takes: whole pages of actors. */
const maxAnswerBytes = 64 * 1024 * 1024;

export function nodeSocketFactory(options: NodeSocketOptions = {}): SocketFactory {
  const { socketPath, connectTimeoutMs = 10_000, ...tls } = options;
  return (url, protocol, listener) => {
    const address = socketPath === undefined ? url : `ws+unix:${socketPath}:${new URL(url).pathname}`;
    const socket = new WebSocket(address, protocol, {
      ...tls,
      handshakeTimeout: connectTimeoutMs,
      maxPayload: maxAnswerBytes,
      perMessageDeflate: false,
      followRedirects: false,
    });
    let why = '';
    socket.on('message', (bytes) => listener.onText(String(bytes)));
    socket.on('error', (error) => {
      why = error.message;
    });
    socket.on('close', (code, reason) => listener.onClosed(code, String(reason) || why));
    return {
      send: (text) => socket.send(text),
      soon: (task) => void setImmediate(task),
      close: (code, reason) => {
        if (socket.readyState === socket.CONNECTING) socket.terminate();
        else socket.close(code, reason);
      },
    };
  };
}
