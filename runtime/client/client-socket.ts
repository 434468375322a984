/**
 * What the client needs of a WebSocket; implemented for Node (node-socket.ts) and browsers (browser-socket.ts).
 */

export interface ClientSocket {
  send(text: string): void;
  /** Runs the task after the current tick, so that the requests of one tick are sent together. */
  soon(task: () => void): void;
  close(code: number, reason: string): void;
}

/** The HTTP answer of a server that did not open the WebSocket. A browser does not show it. */
export interface Refusal {
  readonly status: number;
  /** From the header `Retry-After`. */
  readonly retryAfterMs?: number;
}

export interface SocketListener {
  onText(text: string): void;
  /** Called exactly once, also when the socket never opened; `why` is the reason, if known. */
  onClosed(code: number, why: string, refusal?: Refusal): void;
}

/** Connects at once. The listener is called only after this function has returned. */
export type SocketFactory = (url: string, protocol: string, listener: SocketListener) => ClientSocket;
