/**
 * Links between hosts, at the Outlet and Inlet ports: delay, loss, duplicates, partitions one way or both, resets
 * between a request and its answer, clogs. Keeps the contract of runtime/transport: what one node sends another arrives
 * in order or not at all, a broken link rejects what waits for an answer (`unknown`), everything passes as JSON.
 */
import type { Command, Message, Reply } from '@photoncloud/runtime/contract/envelope';
import type { Delivery, Inlet, Outlet } from '@photoncloud/runtime/contract/link';
import type { Chance } from './seeded-random.ts';
import type { SimulatedProcess } from './simulated-process.ts';
import type { VirtualTime } from './virtual-time.ts';

export interface NetworkConditions {
  /** One way, mean, ms. */
  delayMs: number;
  lostRequest: number;
  lostAnswer: number;
  duplicate: number;
}

/** How long a silent link is held for alive, as the heartbeat of runtime/transport has it. */
const silenceMs = 3_000;

/**
 * Of what arrives twice, how much arrives the second time only after so long, mean: as from a process that stood still
 * with it, when everything it knew has changed.
 */
const lateShare = 0.1;
const lateMs = 10_000;

interface Peer {
  readonly process: SimulatedProcess;
  readonly inlet: Inlet;
}

interface Call {
  readonly from: SimulatedProcess;
  readonly to: string;
  readonly fail: () => void;
  /** The answer is on its way. */
  answered: boolean;
}

const copy = <Value>(value: Value): Value => JSON.parse(JSON.stringify(value)) as Value;

export class SimulatedNetwork {
  readonly conditions: NetworkConditions;
  private readonly time: VirtualTime;
  private readonly random: Chance;
  private readonly onFault: (kind: string) => void;
  private readonly peers = new Map<string, Peer>();
  private readonly blocked = new Set<string>();
  private readonly clogged = new Map<string, number>();
  private readonly calls = new Set<Call>();
  private readonly arrivals = new Map<string, number>();

  constructor(time: VirtualTime, random: Chance, conditions: NetworkConditions, onFault: (kind: string) => void) {
    this.time = time;
    this.random = random;
    this.conditions = conditions;
    this.onFault = onFault;
  }

  /** From now on the node is reached here, until its process ends. */
  listen(process: SimulatedProcess, inlet: Inlet): void {
    this.peers.set(process.name, { process, inlet });
    process.onEnd(() => {
      if (this.peers.get(process.name)?.process === process) this.peers.delete(process.name);
      this.breakCalls((call) => call.to === process.name || call.from === process);
    });
  }

  /** Ends its links in good order: what it has answered by now still arrives. Resolves when it has. */
  async close(process: SimulatedProcess): Promise<void> {
    const waits = (call: Call): boolean => call.answered && call.to === process.name;
    while ([...this.calls].some(waits)) await new Promise<void>((resolve) => process.clock.after(1, resolve));
  }

  outletOf(process: SimulatedProcess): Outlet {
    return {
      deliver: (node, message: Message): Promise<Delivery> =>
        this.call(process, node, (inlet) => inlet.deliver(copy(message))),
      command: (node, command: Command): Promise<Reply | { readonly moved: true }> =>
        this.call(process, node, (inlet) => inlet.command(copy(command))),
    };
  }

  /** Nothing passes from one to the other; links that stay silent break. */
  block(from: string, to: string): void {
    this.blocked.add(`${from}>${to}`);
    this.time.after(silenceMs, undefined, 'link silent', () => {
      if (this.blocked.has(`${from}>${to}`)) this.breakCalls((call) => isBetween(call, from, to));
    });
  }

  unblock(from: string, to: string): void {
    this.blocked.delete(`${from}>${to}`);
  }

  /** What is sent on the link in the next while arrives only after it. */
  clog(from: string, to: string, forMs: number): void {
    this.clogged.set(`${from}>${to}`, this.time.nowMs + forMs);
  }

  /** Peers take a node that says nothing for long for gone, and their links with it. */
  paused(process: SimulatedProcess): void {
    this.time.after(silenceMs, undefined, 'link silent', () => {
      if (process.paused) this.breakCalls((call) => call.to === process.name);
    });
  }

  heal(): void {
    this.blocked.clear();
    this.clogged.clear();
    this.conditions.lostRequest = 0;
    this.conditions.lostAnswer = 0;
    this.conditions.duplicate = 0;
  }

  private breakCalls(which: (call: Call) => boolean): void {
    for (const call of this.calls) {
      if (!which(call)) continue;
      this.calls.delete(call);
      this.time.after(this.delay(), call.from, 'link broken', call.fail);
    }
  }

  private delay(): number {
    return 0.05 + this.random.around(this.conditions.delayMs);
  }

  /** Links keep the order of what is sent on them. */
  private travel(from: string, to: string): number {
    const link = `${from}>${to}`;
    const earliest = Math.max(
      this.time.nowMs + this.delay(),
      this.clogged.get(link) ?? 0,
      this.arrivals.get(link) ?? 0,
    );
    this.arrivals.set(link, earliest);
    return earliest - this.time.nowMs;
  }

  private call<Answer>(from: SimulatedProcess, to: string, ask: (inlet: Inlet) => Promise<Answer>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const fail = (): void => reject(new Error(`the link to ${to} broke`));
      const call: Call = { from, to, fail, answered: false };
      this.calls.add(call);
      const end = (kind: string): void => {
        this.onFault(kind);
        if (this.calls.delete(call)) this.time.after(this.delay(), from, 'link broken', fail);
      };
      if (this.random.happens(this.conditions.lostRequest)) return end('message lost');
      const answer = (value: Answer): void => {
        const answered = copy(value);
        if (this.random.happens(this.conditions.lostAnswer)) return end('answer lost');
        if (this.blocked.has(`${to}>${from.name}`)) return end('answer blocked');
        call.answered = true;
        this.time.after(this.travel(to, from.name), from, 'link answer', () => {
          if (this.calls.delete(call)) resolve(answered);
        });
      };
      this.request(from, to, ask, answer, () => end('no link'));
      if (!this.random.happens(this.conditions.duplicate)) return;
      const again = (): void =>
        this.request(
          from,
          to,
          ask,
          () => {},
          () => {},
        );
      if (!this.random.happens(lateShare)) {
        this.onFault('message twice');
        return again();
      }
      this.time.after(this.random.around(lateMs), undefined, 'late copy', () => {
        if (this.conditions.duplicate === 0) return;
        this.onFault('message again, late');
        again();
      });
    });
  }

  private request<Answer>(
    from: SimulatedProcess,
    to: string,
    ask: (inlet: Inlet) => Promise<Answer>,
    answer: (value: Answer) => void,
    lost: () => void,
  ): void {
    if (this.blocked.has(`${from.name}>${to}`) || !this.peers.has(to)) {
      this.time.after(this.random.between(1, silenceMs), from, 'link down', lost);
      return;
    }
    const target = this.peers.get(to) as Peer;
    this.time.after(this.travel(from.name, to), target.process, 'link request', () => {
      ask(target.inlet).then(answer, lost);
    });
  }
}

const isBetween = (call: Call, from: string, to: string): boolean =>
  (call.from.name === from && call.to === to) || (call.from.name === to && call.to === from);
