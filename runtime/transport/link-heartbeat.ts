/**
 * Notices a peer that is gone without having closed the link: a ping is sent after every interval without a frame from
 * the peer, and silence for `silenceMs` ends the socket. Both ends do so; a received ping counts as a frame and saves
 * one's own, so idle links cost little. A dead link only ends requests: takeover of shards is decided by the beat
 * counters in the store (directory/beat-observer.ts).
 */
import type { WebSocket } from 'ws';
import type { Clock } from '../contract/clock.ts';
import type { PeerLimits } from './link-limits.ts';

/** @returns a function that stops the heartbeat; it also stops when the socket closes. */
export function startHeartbeat(
  socket: WebSocket,
  clock: Clock,
  { heartbeatMs, silenceMs }: Pick<PeerLimits, 'heartbeatMs' | 'silenceMs'>,
  onDead: () => void,
): () => void {
  const most = Math.max(1, Math.ceil(silenceMs / heartbeatMs));
  let misses = 0;
  let cancel = (): void => {};
  const reset = (): void => {
    misses = 0;
  };
  const beat = (): void => {
    if (socket.readyState === socket.CONNECTING) {
      cancel = clock.after(heartbeatMs, beat);
      return;
    }
    if (socket.readyState !== socket.OPEN) return;
    const quiet = socket.isPaused || misses > 0;
    // While the socket is paused (backpressure) pongs are not read, so a missing one proves nothing.
    if (!socket.isPaused) misses += 1;
    if (misses > most) {
      onDead();
      socket.terminate();
      return;
    }
    // While this side does not read, it must still ping, or the peer would take it for dead.
    if (quiet) socket.ping();
    cancel = clock.after(heartbeatMs, beat);
  };
  socket.on('pong', reset);
  socket.on('ping', reset);
  socket.on('message', reset);
  cancel = clock.after(heartbeatMs, beat);
  const stop = (): void => cancel();
  socket.once('close', stop);
  return stop;
}
