/**
 * Links between nodes, at the Outlet and Inlet ports: delay, loss, duplicates, partitions one way or both, resets
 * between a request and its answer, stalled links. Keeps the contract of runtime/transport: messages from one node to
 * another arrive in order or not at all, a broken link rejects the calls that wait for an answer (`unknown`), and
 * everything passes as JSON.
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

/** A link that is silent for longer counts as broken, as with the heartbeat of runtime/transport. */
const silenceMs = 3_000;

/**
 * This share of the duplicates arrives only after `lateMs` on average, as from a process that was paused while sending:
 * by then the state of the receiver has changed.
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
  private readonly stalledUntilMs = new Map<string, number>();
  private readonly calls = new Set<Call>();
  private readonly arrivals = new Map<string, number>();

  constructor(time: VirtualTime, random: Chance, conditions: NetworkConditions, onFault: (kind: string) => void) {
    this.time = time;
    this.random = random;
    this.conditions = conditions;
    this.onFault = onFault;
  }

  /** From now on calls to the node arrive at this inlet, until its process ends. */
  listen(process: SimulatedProcess, inlet: Inlet): void {
    this.peers.set(process.name, { process, inlet });
    process.onEnd(() => {
      if (this.peers.get(process.name)?.process === process) this.peers.delete(process.name);
      this.breakCalls((call) => call.to === process.name || call.from === process);
    });
  }

  /** Closes the links of a process in good order. Resolves when every answer it has given so far has arrived. */
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

  /** Nothing passes from one node to the other; after the silence timeout their links break. */
  block(from: string, to: string): void {
    this.blocked.add(`${from}>${to}`);
    this.time.after(silenceMs, undefined, 'link silent', () => {
      if (this.blocked.has(`${from}>${to}`)) this.breakCalls((call) => isBetween(call, from, to));
    });
  }

  isBlocked(from: string, to: string): boolean {
    return this.blocked.has(`${from}>${to}`);
  }

  unblock(from: string, to: string): void {
    this.blocked.delete(`${from}>${to}`);
  }

  /** Everything that is sent on the link from now on arrives after `forMs` at the earliest. */
  stall(from: string, to: string, forMs: number): void {
    this.stalledUntilMs.set(`${from}>${to}`, this.time.nowMs + forMs);
  }

  /** A process was paused: after the silence timeout its peers drop their links to it. */
  paused(process: SimulatedProcess): void {
    this.time.after(silenceMs, undefined, 'link silent', () => {
      if (process.paused) this.breakCalls((call) => call.to === process.name);
    });
  }

  heal(): void {
    this.blocked.clear();
    this.stalledUntilMs.clear();
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

  /** @returns delay of the next message on the link, ms; a link keeps the order of its messages */
  private travel(from: string, to: string): number {
    const link = `${from}>${to}`;
    const earliest = Math.max(
      this.time.nowMs + this.delay(),
      this.stalledUntilMs.get(link) ?? 0,
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
        this.onFault('message duplicated');
        return again();
      }
      this.time.after(this.random.around(lateMs), undefined, 'late copy', () => {
        if (this.conditions.duplicate === 0) return;
        this.onFault('message duplicated late');
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
