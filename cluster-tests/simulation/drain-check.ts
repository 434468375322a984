/**
 * One graceful stop under load at the end of a run, while no fault is active: every second delivery or performance was
 * caused by the stop alone (G12). Used by runtime-scenario.ts; judged by checkers/graceful-stops.ts.
 */
import type { Message } from '@photoncloud/runtime/contract/envelope';
import type { Delivery } from '@photoncloud/runtime/contract/link';
import { watermarkOf } from '@photoncloud/runtime/contract/deduplication-watermark';
import { shardOf } from '@photoncloud/runtime/journal/shard-placement';
import { storeKeys } from '@photoncloud/runtime/journal/store-keys';
import { checkGracefulStop } from '../checkers/graceful-stops.ts';
import type { Performance } from '../checkers/runtime-promises.ts';
import { factsOf } from '../checkers/store-facts.ts';
import type { Chance } from './seeded-random.ts';
import type { SimulatedNode } from './simulated-node.ts';
import type { Simulation } from './simulation.ts';

const keys = storeKeys('ph:');
const loadMs = 3_000;
const askEveryMs = 12;

export class DrainCheck {
  private readonly simulation: Simulation;
  private readonly askSomething: () => void;
  private readonly chance: Chance;
  private loadIsOver = false;
  private stopped: { readonly by: string; readonly askedMs: number; endedMs: number } | undefined;
  private begun = false;
  private repeats = 0;
  /**
   * Outbox rows of delivered messages that a failover restored, because no one waits for the removal of a row to be
   * durable. Sending these again is not caused by the stop.
   */
  private restored: ReadonlySet<string> = new Set();

  constructor(simulation: Simulation, askSomething: () => void) {
    this.simulation = simulation;
    this.askSomething = askSomething;
    this.chance = simulation.chance.split('drain check');
  }

  start(): void {
    const { simulation, chance } = this;
    const { time } = simulation;
    this.begun = true;
    this.restored = new Set(simulation.store.hasLost ? this.deliveredRows() : []);
    this.load(time.nowMs + loadMs);
    const node = chance.pick(simulation.nodes());
    time.after(chance.between(500, loadMs * 0.7), node.process, 'SIGTERM', () => {
      const stop = { by: node.process.label, askedMs: time.nowMs, endedMs: Infinity };
      this.stopped = stop;
      simulation.reach('a graceful stop without other faults');
      node.process.onEnd(() => {
        stop.endedMs = time.nowMs;
      });
      void node.stop();
    });
  }

  private load(untilMs: number): void {
    const { time } = this.simulation;
    time.after(this.chance.around(askEveryMs), undefined, 'client', () => {
      this.loadIsOver = time.nowMs > untilMs;
      if (this.loadIsOver) return;
      this.askSomething();
      this.load(untilMs);
    });
  }

  /** Called when a node has started: from then on counts the messages that it is sent a second time. */
  watch({ host }: SimulatedNode): void {
    const deliver = host.deliver.bind(host);
    const watched = (message: Message): Promise<Delivery> => {
      if (this.begun && this.isStored(message) && !this.restored.has(`${message.from}|${message.seq}`))
        this.repeats += 1;
      return deliver(message);
    };
    Object.assign(host, { deliver: watched });
  }

  private deliveredRows(): readonly string[] {
    const { space } = this.simulation.server;
    const outboxes = [...space.keys.keys()].filter((key) => key.endsWith('}:q'));
    return outboxes.flatMap((key) =>
      [...(space.hash(key) ?? [])].flatMap(([row, text]) => (this.isStored(JSON.parse(text) as Message) ? [row] : [])),
    );
  }

  /** Whether the receiver has applied the message. */
  private isStored(message: Message): boolean {
    const { space } = this.simulation.server;
    const record = space.hash(keys.inShard(shardOf(message.to), `a:${message.to}`));
    return Number(record?.get(`m:${watermarkOf(message)}`) ?? 0) >= message.seq;
  }

  unsettled(): string | undefined {
    if (!this.begun) return undefined;
    const isOver = this.loadIsOver && this.stopped?.endedMs !== Infinity;
    return isOver ? undefined : 'the check of a graceful stop is not over';
  }

  judge(performances: readonly Performance[]): readonly string[] {
    if (this.stopped === undefined) return [];
    const { writes, handovers } = this.simulation;
    const stop = { ...this.stopped, repeats: this.repeats, handovers };
    return checkGracefulStop(factsOf(writes.past), performances, stop).slice(0, 5);
  }
}
