/**
 * What the client needs of a WebSocket; implemented for Node (node-socket.ts) and browsers (browser-socket.ts).
 */

export interface ClientSocket {
  send(text: string): void;
  /** Runs the task after the current tick, so that the requests of one tick are sent together. */
  soon(task: () => void): void;
  close(code: number, reason: string): void;
}

export interface SocketListener {
  onText(text: string): void;
  /** Called exactly once, also when the socket never opened; `why` is the reason, if known. */
  onClosed(code: number, why: string): void;
}

/** Connects at once. The listener is called only after this function has returned. */
export type SocketFactory = (url: string, protocol: string, listener: SocketListener) => ClientSocket;
