/**
 * Finds the owner of an actor and brings messages and commands there: into this node's own inlet, or through the outlet
 * to a peer. The directory is only a hint: a node that does not own the actor answers `moved`, and the directory is
 * read again. Called by the outbox (messages) and, through the host, by the control API and composition roots (`ask`,
 * `tell`).
 */
import type { SharedClock } from '../contract/clock.ts';
import type { ActorEvent, Command, Message, Reply } from '../contract/envelope.ts';
import { describeCause, PhotonError } from '../contract/errors.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { Delivery, Directory, Inlet, Outlet } from '../contract/link.ts';
import type { Log } from '../contract/log.ts';
import type { Random } from '../contract/random.ts';
import { systemPrincipal } from './input-check.ts';
import type { CommandAnswer } from './mailbox.ts';

export interface RouterPorts {
  readonly directory: Directory;
  readonly outlet: Outlet;
  readonly local: Inlet;
  readonly nodeName: string;
  readonly clock: SharedClock;
  readonly random: Random;
  readonly log: Log;
  /** How long `ask` goes on without any answer. */
  readonly askMs: number;
}

const firstBackoffMs = 25;
const longestBackoffMs = 1000;
/** A node that answers `moved` is up, and the next owner will be known soon: a hand-over takes some ten ms. */
const longestMovedBackoffMs = 100;
const overloadRetryMs = 200;

export class Router {
  private readonly ports: RouterPorts;
  /** Functions that end the pauses in progress. */
  private readonly pauses = new Set<() => void>();
  private refreshing = false;
  /** Why the map could not be read when it was last asked for. */
  private unread: string | undefined;

  constructor(ports: RouterPorts) {
    this.ports = ports;
  }

  deliver(message: Message): Promise<Delivery> {
    const { directory, local, outlet, nodeName } = this.ports;
    const owner = directory.ownerOf(message.to);
    if (owner === undefined) return Promise.resolve({ result: 'moved' });
    return owner === nodeName ? local.deliver(message) : outlet.deliver(owner, message);
  }

  /** Reads the map of owners again; calls while it is being read add nothing. */
  refresh(): void {
    if (this.refreshing) return;
    this.refreshing = true;
    this.ports.directory
      .refresh()
      .then(
        () => this.noteReading(undefined),
        (failure: unknown) => this.noteReading(failure),
      )
      .finally(() => {
        this.refreshing = false;
      });
  }

  /** Logs a change only: while the map cannot be read it is asked for again and again. */
  private noteReading(failure: unknown): void {
    const unread = failure === undefined ? undefined : describeCause(failure);
    if (unread === this.unread) return;
    this.unread = unread;
    if (failure === undefined) this.ports.log.info({}, 'the map of owners is read again');
    else this.ports.log.warn({ failure }, 'the map of owners could not be read again');
  }

  /** Asks until an owner answers; a lost answer is asked for again under the same id. */
  async ask(command: Command): Promise<Reply> {
    const { clock, askMs } = this.ports;
    let silentSinceMs = clock.monotonicMs();
    let backoffMs = firstBackoffMs;
    for (;;) {
      const askedMs = clock.monotonicMs();
      const answer = await this.askOnce(command);
      if (answer !== undefined && !('moved' in answer)) return answer;
      // An owner that took long to answer was there all the while: only the time of the search counts.
      if (clock.monotonicMs() - askedMs > longestBackoffMs) {
        silentSinceMs = clock.monotonicMs();
        backoffMs = firstBackoffMs;
      }
      if (clock.monotonicMs() - silentSinceMs > askMs) return unanswered(command);
      this.refresh();
      await this.pause(backoffMs);
      backoffMs = Math.min(backoffMs * 2, answer === undefined ? longestBackoffMs : longestMovedBackoffMs);
    }
  }

  /** @throws PhotonError with the actor's refusal, except `not_accepted`: the chart may ignore what it is told. */
  async tell(to: ActorId, event: ActorEvent): Promise<void> {
    const { clock, random } = this.ports;
    const commandId = `${systemPrincipal}-${random.ulid(clock.sharedMs())}`;
    const command: Command = { to, commandId, digest: event.type, principal: systemPrincipal, event };
    for (;;) {
      const reply = await this.ask(command);
      if (reply.ok || reply.error.code === 'not_accepted') return;
      if (reply.error.code !== 'overloaded') {
        throw new PhotonError(reply.error.group, reply.error.code, reply.error.message, { actor: to });
      }
      await this.pause(reply.error.retryAfterMs ?? overloadRetryMs);
    }
  }

  private askOnce(command: Command): Promise<CommandAnswer | undefined> {
    const { directory, local, nodeName } = this.ports;
    const owner = directory.ownerOf(command.to);
    if (owner === undefined) return Promise.resolve(undefined);
    return owner === nodeName ? local.command(command) : this.askPeer(owner, command);
  }

  private async askPeer(owner: string, command: Command): Promise<CommandAnswer | undefined> {
    const { outlet, log } = this.ports;
    try {
      return await outlet.command(owner, command);
    } catch (failure) {
      log.debug({ to: command.to, failure }, 'a command may not have arrived; it is asked again');
      return undefined;
    }
  }

  /** Owners have changed: pending searches try again now. */
  retryNow(): void {
    for (const end of this.pauses) end();
  }

  private pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        cancel();
        this.pauses.delete(end);
        resolve();
      };
      const cancel = this.ports.clock.after(delayMs, end);
      this.pauses.add(end);
    });
  }
}

function unanswered(command: Command): Reply {
  const text = `no owner of ${command.to} has answered; it may be done. Ask again with the same id.`;
  return { ok: false, version: 0, error: new PhotonError('unknown', 'no_answer', text, { public: true }).record };
}
