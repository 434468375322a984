/**
 * The accepting side of one link: the hello, then requests to the Inlet and answers back. Called by peer-server.ts with
 * the name and role from the peer's certificate. It stops reading while too many requests run or too many answers are
 * unsent. A request in the name of an actor or principal that the peer may not speak for closes the link: the peer is
 * defective or compromised.
 */
import type { WebSocket } from 'ws';
import type { Clock } from '../contract/clock.ts';
import { PhotonError } from '../contract/errors.ts';
import type { Inlet } from '../contract/link.ts';
import type { Log } from '../contract/log.ts';
import { FrameWriter } from './frame-writer.ts';
import { startHeartbeat } from './link-heartbeat.ts';
import type { PeerLimits } from './link-limits.ts';
import { mayCommand, maySpeakFor, type Peer } from './peer-identity.ts';
import { peerVersion, readOffer, readRequests, writeAcceptance, type RequestEntry } from './versions/v1/peer-frames.ts';

export interface Acceptance {
  readonly socket: WebSocket;
  readonly peer: Peer;
  readonly inlet: Inlet;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: PeerLimits;
}

export function acceptPeer({ socket, peer, inlet, clock, log, limits }: Acceptance): void {
  let greeted = false;
  let running = 0;
  const cancelHello = clock.after(limits.connectTimeoutMs, () => socket.close(4401, 'no hello in time'));
  // Entries that were received before the socket was paused; at most those of one read of the socket.
  const held: RequestEntry[] = [];
  const stalled = (): boolean => running >= limits.maxInFlight || writer.paused;
  const take = (): void => {
    while (held.length > 0 && !stalled()) void perform(held.shift() as RequestEntry);
    if (stalled()) socket.pause();
    else if (socket.isPaused) socket.resume();
  };
  const writer = new FrameWriter({
    socket,
    maxFrameBytes: limits.maxFrameBytes,
    pauseBytes: limits.pauseBytes,
    closeBytes: limits.closeBytes,
    onDrained: take,
    onOverflow: () => {
      log.warn({ closeBytes: limits.closeBytes }, 'cut the link of a peer that does not read its answers');
      socket.terminate();
    },
  });

  const answer = (number: number, value: unknown): void => {
    const entry = JSON.stringify(['r', number, value]);
    writer.write(writer.fits(entry) ? entry : failure(number, 'answer_too_large', 'the answer does not fit a frame'));
  };
  const perform = async ([kind, number, body]: RequestEntry): Promise<void> => {
    running += 1;
    try {
      answer(number, kind === 'm' ? await inlet.deliver(body) : await inlet.command(body));
    } catch (error) {
      const code = error instanceof PhotonError ? error.record.code : 'failed';
      log.error({ err: error, to: body.to }, 'the host failed to take a request of a peer');
      writer.write(failure(number, code, error instanceof Error ? error.message.slice(0, 1_000) : 'no reason given'));
    } finally {
      running -= 1;
      if (held.length > 0 || socket.isPaused) take();
    }
  };
  const onHello = (text: string): void => {
    cancelHello();
    const versions = readOffer(text);
    if (versions === undefined) return socket.close(4400, 'the first frame is no hello');
    if (!versions.includes(peerVersion)) return socket.close(4426, `this node speaks version ${peerVersion}`);
    greeted = true;
    return socket.send(writeAcceptance());
  };

  socket.on('message', (bytes, isBinary) => {
    // Frames that arrive after this side has decided to close are not performed.
    if (socket.readyState !== socket.OPEN) return undefined;
    const text = isBinary ? '' : String(bytes);
    if (!greeted) return onHello(text);
    const entries = readRequests(text);
    if (entries === undefined) {
      log.warn({ bytes: text.length }, 'closed the link of a peer that sent a malformed frame');
      return socket.close(4400, 'not a list of requests');
    }
    const forged = entries.find(([kind, , body]) => (kind === 'm' ? !maySpeakFor(peer, body.from) : !mayCommand(peer)));
    if (forged !== undefined) {
      const [kind, , body] = forged;
      const inNameOf = kind === 'm' ? body.from : `principal ${body.principal}`;
      log.error(
        { role: peer.role, inNameOf, to: body.to },
        'closed the link of a peer that spoke in the name of another; find out who holds its certificate',
      );
      return socket.close(4403, 'not yours to say');
    }
    held.push(...entries);
    take();
    return undefined;
  });
  socket.on('error', (error) => log.info({ why: error.message }, 'the link of a peer failed'));
  socket.once('close', cancelHello);
  startHeartbeat(socket, clock, limits, () => log.info({}, 'a peer went silent'));
}

const failure = (number: number, code: string, message: string): string =>
  JSON.stringify(['e', number, { code, message }]);
