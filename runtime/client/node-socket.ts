/**
 * The client's WebSocket in Node: over TLS with a private certificate authority, or over a unix socket of the same
 * computer. Not for browsers.
 */
import { WebSocket } from 'ws';
import { clientClock } from './client-clock.ts';
import type { Refusal, SocketFactory } from './client-socket.ts';
import { retryAfterMsOf } from './wire-error.ts';

export interface NodeSocketOptions {
  /** The certificate authority, PEM; default: the system's authorities. */
  readonly ca?: string | Buffer;
  /** The name in the server's certificate, when it differs from the URL's host. */
  readonly servername?: string;
  /** Client certificate for mutual TLS, PEM. */
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  /** Connects to this unix socket; of the URL only the path is used. */
  readonly socketPath?: string;
  readonly connectTimeoutMs?: number;
}

/** Answers may be longer than the frames that the server accepts: they contain whole pages of actors. */
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
    let refusal: Refusal | undefined;
    socket.on('message', (bytes) => listener.onText(String(bytes)));
    socket.on('unexpected-response', (request, { statusCode: status = 0, statusMessage = '', headers }) => {
      const retryAfterMs = retryAfterMsOf(headers['retry-after'], clientClock.wallMs());
      refusal = { status, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
      why = `the server answered ${status} ${statusMessage}`;
      request.destroy();
      socket.terminate();
    });
    socket.on('error', (error) => {
      why ||= error.message;
    });
    socket.on('close', (code, reason) => listener.onClosed(code, String(reason) || why, refusal));
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
