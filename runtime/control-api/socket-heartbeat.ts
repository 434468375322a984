/**
 * Terminates a socket whose client is gone without closing it: pings it, and allows two intervals without an answer.
 */
import type { WebSocket } from 'ws';
import type { Clock } from '../contract/clock.ts';

/** Starts the pings; they end with the socket. */
export function startSocketHeartbeat(socket: WebSocket, clock: Clock, intervalMs: number): void {
  let misses = 0;
  const heard = (): void => {
    misses = 0;
  };
  const beat = (): void => {
    if (socket.readyState !== socket.OPEN) return;
    // A paused socket is not read, so a pong cannot be seen; the time of the pause has its own limit.
    if (!socket.isPaused) misses += 1;
    if (misses > 2) {
      socket.terminate();
      return;
    }
    socket.ping();
    cancel = clock.after(intervalMs, beat);
  };
  let cancel = clock.after(intervalMs, beat);
  socket.on('pong', heard);
  socket.on('message', heard);
  socket.once('close', () => cancel());
}
