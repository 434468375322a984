/**
 * Replication from one primary to one replica: the replica copies the primary's file with a lag from the seed, and the
 * primary knows how much the replica has acknowledged. Asynchronous as in Redis: only WAIT waits for it. Created and
 * ended by simulated-store.ts.
 */
import type { Chance } from '../seeded-random.ts';
import type { VirtualTime } from '../virtual-time.ts';
import type { FollowerState, SimulatedServer } from './simulated-server.ts';

export interface ReplicationOptions {
  readonly time: VirtualTime;
  readonly random: Chance;
  readonly primary: SimulatedServer;
  readonly replica: SimulatedServer;
  /** Mean time from a write to its acknowledgement. */
  readonly lagMs: number;
}

/** Sometimes a transfer takes longer. */
const delayedTransfers = { probability: 0.01, meanMs: 300 };

export class Replication implements FollowerState {
  acknowledged: number;
  readonly sinceMs: number;
  private readonly options: ReplicationOptions;
  private readonly stopListening: () => void;
  /** Raised to drop a transfer that is under way. */
  private generation = 0;
  private isTransferring = false;
  /** Number of active faults that cut the connection. */
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

  /** Starts a transfer of everything that the replica lacks. */
  follow(): void {
    const { time, random, primary, replica, lagMs } = this.options;
    const upTo = primary.file.length;
    if (this.cuts > 0 || this.isOver) return;
    replica.replid = primary.replid;
    if (this.isTransferring || upTo <= this.acknowledged) return;
    this.isTransferring = true;
    const { generation } = this;
    const extraMs = random.happens(delayedTransfers.probability) ? random.around(delayedTransfers.meanMs) : 0;
    time.after(random.around(lagMs) + extraMs, undefined, 'replicate', () => {
      if (this.generation === generation) this.transfer(upTo);
    });
  }

  private transfer(upTo: number): void {
    const { primary, replica } = this.options;
    this.isTransferring = false;
    for (let at = replica.file.length; at < upTo; at += 1) {
      const entry = primary.file[at];
      if (entry !== undefined) replica.file.push(entry);
    }
    this.acknowledged = replica.file.length;
    primary.acknowledged();
    // A dead primary sends no more.
    if (primary.up) this.follow();
  }

  /** Cuts the connection; the primary goes on listing the replica. @returns restores the connection */
  cut(): () => void {
    this.cuts += 1;
    this.isTransferring = false;
    this.generation += 1;
    return () => {
      this.cuts -= 1;
      this.follow();
    };
  }

  /** The replica stops following this primary. */
  end(): void {
    this.isOver = true;
    this.generation += 1;
    this.stopListening();
    this.options.primary.followers.delete(this);
  }
}

/** Number of entries that both files have in common; entries of one write are the same object. */
function commonLength({ file: one }: SimulatedServer, { file: other }: SimulatedServer): number {
  let length = Math.min(one.length, other.length);
  while (length > 0 && one[length - 1] !== other[length - 1]) length -= 1;
  return length;
}
