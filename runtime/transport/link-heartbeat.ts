/**
 * Notices a peer that has gone without closing: a ping after every interval in which nothing was heard, and silence of
 * `silenceMs` ends the socket. Both ends do so, and a ping that is heard saves one's own: idle links cost little.
 * A dead link means only that: takeover of shards is decided by the beat counters in the store, never here.
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
  const heard = (): void => {
    misses = 0;
  };
  const beat = (): void => {
    if (socket.readyState !== socket.OPEN) return;
    const quiet = socket.isPaused || misses > 0;
    // While we do not read on purpose, an unseen pong says nothing about the peer; the pause has its own bound.
    if (!socket.isPaused) misses += 1;
    if (misses > most) {
      onDead();
      socket.terminate();
      return;
    }
    // The peer must go on hearing us while we do not read it.
    if (quiet) socket.ping();
    cancel = clock.after(heartbeatMs, beat);
  };
  socket.on('pong', heard);
  socket.on('ping', heard);
  socket.on('message', heard);
  cancel = clock.after(heartbeatMs, beat);
  const stop = (): void => cancel();
  socket.once('close', stop);
  return stop;
}
