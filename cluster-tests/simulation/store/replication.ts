/**
 * One replica that follows one primary: it takes the primary's file over, with a lag from the seed, and the primary
 * knows how far it has come. Asynchronous, as Redis replicates: nobody waits but who says WAIT. Made and ended by
 * simulated-store.ts.
 */
import type { Chance } from '../seeded-random.ts';
import type { VirtualTime } from '../virtual-time.ts';
import type { FollowerState, SimulatedServer } from './simulated-server.ts';

export interface ReplicationOptions {
  readonly time: VirtualTime;
  readonly random: Chance;
  readonly primary: SimulatedServer;
  readonly replica: SimulatedServer;
  /** From a write to its acknowledgement, mean. */
  readonly lagMs: number;
}

/** Now and then a replica stands still for a while. */
const stumbles = { probability: 0.01, meanMs: 300 };

export class Replication implements FollowerState {
  acknowledged: number;
  readonly sinceMs: number;
  private readonly options: ReplicationOptions;
  private readonly stopListening: () => void;
  /** Raised when what is under way will not arrive. */
  private generation = 0;
  private underWay = false;
  /** Faults that keep the two apart now. */
  private cuts = 0;
  private isOver = false;

  constructor(options: ReplicationOptions) {
    const { primary, replica, time } = options;
    this.options = options;
    this.sinceMs = time.nowMs;
    replica.demote(commonLength(primary, replica));
    this.acknowledged = replica.file.length;
    primary.followers.add(this);
    this.stopListening = primary.onWrite(() => this.follow());
    this.follow();
  }

  get replica(): string {
    return this.options.replica.name;
  }

  get isConnected(): boolean {
    return this.cuts === 0;
  }

  /** Takes what there is to take. */
  follow(): void {
    const { time, random, primary, replica, lagMs } = this.options;
    const upTo = primary.file.length;
    if (this.cuts > 0 || this.isOver) return;
    replica.replid = primary.replid;
    if (this.underWay || upTo <= this.acknowledged) return;
    this.underWay = true;
    const { generation } = this;
    const stumble = random.happens(stumbles.probability) ? random.around(stumbles.meanMs) : 0;
    time.after(random.around(lagMs) + stumble, undefined, 'replicate', () => {
      if (this.generation === generation) this.take(upTo);
    });
  }

  private take(upTo: number): void {
    const { primary, replica } = this.options;
    this.underWay = false;
    for (let at = replica.file.length; at < upTo; at += 1) {
      const entry = primary.file[at];
      if (entry !== undefined) replica.file.push(entry);
    }
    this.acknowledged = replica.file.length;
    primary.acknowledged();
    // What it was sent before the primary died is all there is.
    if (primary.up) this.follow();
  }

  /** The network between the two breaks: the primary goes on listing a replica it does not hear. @returns mends it */
  cut(): () => void {
    this.cuts += 1;
    this.underWay = false;
    this.generation += 1;
    return () => {
      this.cuts -= 1;
      this.follow();
    };
  }

  /** It follows this primary no more. */
  end(): void {
    this.isOver = true;
    this.generation += 1;
    this.stopListening();
    this.options.primary.followers.delete(this);
  }
}

/** Both have the same up to here; entries are the same where they came from the same write. */
function commonLength({ file: one }: SimulatedServer, { file: other }: SimulatedServer): number {
  let length = Math.min(one.length, other.length);
  while (length > 0 && one[length - 1] !== other[length - 1]) length -= 1;
  return length;
}
