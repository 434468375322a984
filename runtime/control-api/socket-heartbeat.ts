/** Ends a client's socket that has gone without closing: a ping per interval, and two intervals without a word. */
import type { WebSocket } from 'ws';
import type { Clock } from '../contract/clock.ts';

/** Ends with the socket. */
export function startSocketHeartbeat(socket: WebSocket, clock: Clock, intervalMs: number): void {
  let misses = 0;
  const heard = (): void => {
    misses = 0;
  };
  const beat = (): void => {
    if (socket.readyState !== socket.OPEN) return;
    // While it is not read on purpose, an unseen pong says nothing; that rest has its own bound.
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
