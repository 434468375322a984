/**
 * Links between the nodes of the cloud simulation: what one hands out goes into another's inlet after a delay, in order
 * per link, unless the link is cut or resets: then the sender hears that nobody knows (a rejection), whether or not the
 * receiver has taken it. Duplicates come from the senders, who send again under the same ids.
 */
import type { Inlet, Outlet } from '@photoncloud/runtime/contract/link';
import type { ProcessClock, SeededRandom, VirtualTime } from './cloud-time.ts';

interface End {
  readonly inlet: Inlet;
  readonly clock: ProcessClock;
}

/** How long a sender waits before it takes a silent link for broken. */
const brokenAfterMs = 2_000;

export class CloudLinks {
  /** Probability that a link resets under one request, before it arrives or before its answer does. */
  resetRate = 0;
  longestMs = 5;
  readonly ends = new Map<string, End>();
  private readonly cuts = new Map<string, number>();
  private readonly arrivals = new Map<string, number>();
  private readonly time: VirtualTime;
  private readonly random: SeededRandom;
  private readonly count: (what: string) => void;

  constructor(time: VirtualTime, random: SeededRandom, count: (what: string) => void) {
    this.time = time;
    this.random = random;
    this.count = count;
  }

  /** One way only: call it twice for both. */
  cut(from: string, to: string, forMs: number): void {
    this.cuts.set(`${from} ${to}`, this.time.nowMs + forMs);
  }

  heal(): void {
    this.cuts.clear();
    this.resetRate = 0;
  }

  outletFor(from: string, clock: ProcessClock): Outlet {
    return {
      deliver: (node, message) => this.request(from, clock, node, (inlet) => inlet.deliver(message)),
      command: (node, command) => this.request(from, clock, node, (inlet) => inlet.command(command)),
    };
  }

  private open(from: string, to: string): boolean {
    return (this.cuts.get(`${from} ${to}`) ?? 0) <= this.time.nowMs;
  }

  private request<Answer>(
    from: string,
    clock: ProcessClock,
    to: string,
    ask: (inlet: Inlet) => Promise<Answer>,
  ): Promise<Answer> {
    const resets = this.random.chance(this.resetRate);
    const early = this.random.chance(0.5);
    return new Promise((resolve, reject) => {
      const end = this.ends.get(to);
      let settled = false;
      const settle = (tell: () => void): void => {
        if (!settled) tell();
        settled = true;
      };
      const broken = (): void => settle(() => reject(new Error(`the link from ${from} to ${to} is broken`)));
      // A heartbeat tells a slow answer from a dead link.
      const look = (): void => {
        if (settled) return;
        const answers = end?.clock.alive === true && !end.clock.paused && this.open(from, to) && this.open(to, from);
        if (answers) clock.after(brokenAfterMs, look);
        else broken();
      };
      clock.after(brokenAfterMs, look);
      if (resets) this.count(early ? 'link reset before arrival' : 'link reset before answer');
      const lost = (): void => void clock.after(this.random.fraction() * brokenAfterMs, broken);
      if (end === undefined || (resets && early) || !this.open(from, to)) return lost();
      end.clock.after(this.arrival(from, to), () => {
        void ask(end.inlet).then(
          (answer) => {
            if (resets || !this.open(to, from)) return lost();
            clock.after(this.arrival(to, from), () => settle(() => resolve(answer)));
          },
          () => clock.after(1, broken),
        );
      });
    });
  }

  private arrival(from: string, to: string): number {
    const link = `${from} ${to}`;
    const atMs = Math.max(this.time.nowMs + this.random.fraction() * this.longestMs, this.arrivals.get(link) ?? 0);
    this.arrivals.set(link, atMs);
    return atMs - this.time.nowMs;
  }
}
