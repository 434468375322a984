/**
 * The one thing the client needs of a WebSocket, so that Node (node-socket.ts) and browsers (browser-socket.ts)
 * differ in one file.
 */

export interface ClientSocket {
  send(text: string): void;
  /** Runs it when what runs now has said all it has to say: that goes out together. */
  soon(task: () => void): void;
  close(code: number, reason: string): void;
}

export interface SocketListener {
  onText(text: string): void;
  /** Exactly once, also when the socket never opened; `why` is what is known. */
  onClosed(code: number, why: string): void;
}

/** Dials at once. Frames come only after the listener's caller has returned. */
export type SocketFactory = (url: string, protocol: string, listener: SocketListener) => ClientSocket;
