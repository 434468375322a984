/**
 * Notices a peer that has gone without closing: a ping per interval, and two intervals without a word end the socket.
 * A dead link means only that: takeover of shards is decided by the beat counters in the store, never here.
 */
import type { WebSocket } from 'ws';
import type { Clock } from '../contract/clock.ts';

/** @returns a function that stops the heartbeat; it also stops when the socket closes. */
export function startHeartbeat(socket: WebSocket, clock: Clock, intervalMs: number, onDead: () => void): () => void {
  let misses = 0;
  let cancel = (): void => {};
  const heard = (): void => {
    misses = 0;
  };
  const beat = (): void => {
    if (socket.readyState !== socket.OPEN) return;
    // While we do not read on purpose, an unseen pong says nothing about the peer; the pause has its own bound.
    if (!socket.isPaused) misses += 1;
    if (misses > 2) {
      onDead();
      socket.terminate();
      return;
    }
    socket.ping();
    cancel = clock.after(intervalMs, beat);
  };
  socket.on('pong', heard);
  socket.on('ping', heard);
  socket.on('message', heard);
  cancel = clock.after(intervalMs, beat);
  const stop = (): void => cancel();
  socket.once('close', stop);
  return stop;
}
