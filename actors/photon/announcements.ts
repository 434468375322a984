/**
 * What this node tells actors of the system: that it has started, that a host is silent or back. An actor that an
 * operator has paused, or that is quarantined, takes nothing until it is resumed. That must neither end this node nor
 * keep it from starting, since no actor can be resumed without one: the newest announcement is repeated until it is
 * taken. Made by controller-node.ts and worker-node.ts.
 */
import type { Clock } from '@photoncloud/runtime/contract/clock';
import type { ActorEvent } from '@photoncloud/runtime/contract/envelope';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { Log } from '@photoncloud/runtime/contract/log';
import type { Host } from '@photoncloud/runtime/hosting/host';

const againMs = 1_000;
const codesOfHolds: ReadonlySet<string> = new Set(['paused', 'quarantined']);

export class Announcements {
  readonly #newest = new Map<ActorId, ActorEvent>();
  readonly #clock: Clock;
  readonly #log: Log;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * Resolves when the actor has taken it, or is known to be held: then it is told later, unless there is a newer
   * announcement for the actor by then. @throws PhotonError when the actor refuses it
   */
  async tell(host: Pick<Host, 'tell'>, to: ActorId, event: ActorEvent): Promise<void> {
    this.#newest.set(to, event);
    if (await this.#isTaken(host, to, event)) return;
    this.#log.warn({ actor: to, event: event.type }, 'the actor is held; it is told when an operator has resumed it');
    this.#tellLater(host, to, event);
  }

  #tellLater(host: Pick<Host, 'tell'>, to: ActorId, event: ActorEvent): void {
    this.#clock.after(againMs, () => {
      if (this.#newest.get(to) !== event) return;
      this.#isTaken(host, to, event).then(
        (isTaken) => isTaken || this.#tellLater(host, to, event),
        (failure: unknown) => this.#log.error({ actor: to, event: event.type, failure }, 'the actor could not be told'),
      );
    });
  }

  async #isTaken(host: Pick<Host, 'tell'>, to: ActorId, event: ActorEvent): Promise<boolean> {
    try {
      await host.tell(to, event);
      return true;
    } catch (error) {
      if (error instanceof PhotonError && codesOfHolds.has(error.record.code)) return false;
      throw error;
    }
  }
}
