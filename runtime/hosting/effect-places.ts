/**
 * A bounded number of places for effects, and whose turn it is. Effects of one scope wait in the order in which they
 * came; scopes take turns. A scope key is opaque here. Called by effect-runner.ts, with one pool per name that the
 * definitions of kinds declare.
 *
 * A place goes to the waiting scope that holds the fewest, and among equals to the one that was served longest ago. A
 * scope may hold at most half of the pool: it gets a further place only while more places are free than it holds. So
 * one scope leaves half of the pool to others, two leave a quarter, and so on: a scope that holds none finds a place
 * at once unless many others are busy, however long their effects run. The price: a lone scope never uses the other
 * half. Rejected: a fixed share per scope, because the number of scopes is not known; taking turns alone, because an
 * effect cannot be interrupted, and a scope that came first would keep every place for as long as its effects run.
 */

interface Claim {
  readonly scope: string;
  readonly grant: () => void;
}

interface Share {
  readonly queue: Claim[];
  held: number;
  /** Counts the places that were given, of all scopes. */
  lastServed: number;
}

export class EffectPlaces {
  readonly size: number;
  /** Scopes that hold or wait. */
  private readonly shares = new Map<string, Share>();
  private heldCount = 0;
  private waitingCount = 0;
  private served = 0;

  constructor(size: number) {
    this.size = size;
  }

  /** Places in use. */
  get taken(): number {
    return this.heldCount;
  }

  /** Claims that wait. */
  get waiting(): number {
    return this.waitingCount;
  }

  waitingOf(scope: string): number {
    return this.shares.get(scope)?.queue.length ?? 0;
  }

  /** The most that one scope waits for. */
  get longestWait(): number {
    let most = 0;
    for (const { queue } of this.shares.values()) most = Math.max(most, queue.length);
    return most;
  }

  /**
   * Calls `grant` once there is a place, maybe before it returns.
   * @param first before the other claims of its scope: for an effect that has had a place and needs one again
   * @returns withdraws a claim that was not granted yet
   */
  claim(scope: string, grant: () => void, first: boolean): () => void {
    const claim: Claim = { scope, grant };
    const share = this.shares.get(scope) ?? { queue: [], held: 0, lastServed: 0 };
    this.shares.set(scope, share);
    if (first) share.queue.unshift(claim);
    else share.queue.push(claim);
    this.waitingCount += 1;
    this.fill();
    return () => this.withdraw(claim);
  }

  /** Gives a place of this scope back. */
  release(scope: string): void {
    const share = this.shares.get(scope);
    if (share === undefined || share.held === 0) return;
    share.held -= 1;
    this.heldCount -= 1;
    this.forgetIfIdle(scope, share);
    this.fill();
  }

  private withdraw(claim: Claim): void {
    const share = this.shares.get(claim.scope);
    const index = share?.queue.indexOf(claim) ?? -1;
    if (share === undefined || index < 0) return;
    share.queue.splice(index, 1);
    this.waitingCount -= 1;
    this.forgetIfIdle(claim.scope, share);
  }

  private forgetIfIdle(scope: string, { held, queue }: Share): void {
    if (held + queue.length === 0) this.shares.delete(scope);
  }

  private fill(): void {
    for (let share = this.next(); share !== undefined; share = this.next()) {
      const claim = share.queue.shift();
      this.waitingCount -= 1;
      this.served += 1;
      share.held += 1;
      share.lastServed = this.served;
      this.heldCount += 1;
      claim?.grant();
    }
  }

  /** Whose turn it is; undefined when nobody waits who may have a place now. */
  private next(): Share | undefined {
    const free = this.size - this.heldCount;
    let chosen: Share | undefined;
    for (const share of this.shares.values()) {
      if (share.queue.length === 0 || share.held >= free) continue;
      const isEarlier =
        chosen === undefined ||
        share.held < chosen.held ||
        (share.held === chosen.held && share.lastServed < chosen.lastServed);
      if (isEarlier) chosen = share;
    }
    return chosen;
  }
}
