/**
 * One gentle stop under load while nothing fails, at the end of a run: what had to be delivered or performed a second
 * time was made so by the stop alone (G12). Used by runtime-scenario.ts; judged by checkers/gentle-stops.ts.
 */
import type { Message } from '@photoncloud/runtime/contract/envelope';
import type { Delivery } from '@photoncloud/runtime/contract/link';
import { watermarkOf } from '@photoncloud/runtime/contract/deduplication-watermark';
import { shardOf } from '@photoncloud/runtime/journal/shard-placement';
import { storeKeys } from '@photoncloud/runtime/journal/store-keys';
import { checkGentleStop } from '../checkers/gentle-stops.ts';
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
  private loaded = false;
  private stopped: { readonly by: string; readonly askedMs: number; endedMs: number } | undefined;
  private begun = false;
  private repeats = 0;
  /** Delivered and removed, and back since a failover: nothing waits for a removal to be durable. */
  private revived: ReadonlySet<string> = new Set();

  constructor(simulation: Simulation, askSomething: () => void) {
    this.simulation = simulation;
    this.askSomething = askSomething;
    this.chance = simulation.chance.split('drain check');
  }

  start(): void {
    const { simulation, chance } = this;
    const { time } = simulation;
    this.begun = true;
    this.revived = new Set(simulation.store.hasLost ? this.deliveredRows() : []);
    this.load(time.nowMs + loadMs);
    const node = chance.pick(simulation.nodes());
    time.after(chance.between(500, loadMs * 0.7), node.process, 'SIGTERM', () => {
      const stop = { by: node.process.label, askedMs: time.nowMs, endedMs: Infinity };
      this.stopped = stop;
      simulation.reach('a gentle stop while nothing fails');
      node.process.onEnd(() => {
        stop.endedMs = time.nowMs;
      });
      void node.stop();
    });
  }

  private load(untilMs: number): void {
    const { time } = this.simulation;
    time.after(this.chance.around(askEveryMs), undefined, 'client', () => {
      this.loaded = time.nowMs > untilMs;
      if (this.loaded) return;
      this.askSomething();
      this.load(untilMs);
    });
  }

  /** Looks at what a node is sent, by itself or by others, from its start on. */
  watch({ host }: SimulatedNode): void {
    const deliver = host.deliver.bind(host);
    const watched = (message: Message): Promise<Delivery> => {
      if (this.begun && this.isStored(message) && !this.revived.has(`${message.from}|${message.seq}`))
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

  private isStored(message: Message): boolean {
    const { space } = this.simulation.server;
    const record = space.hash(keys.inShard(shardOf(message.to), `a:${message.to}`));
    return Number(record?.get(`m:${watermarkOf(message)}`) ?? 0) >= message.seq;
  }

  unsettled(): string | undefined {
    if (!this.begun) return undefined;
    return this.loaded && this.stopped?.endedMs !== Infinity ? undefined : 'the check of a gentle stop is not over';
  }

  judge(performances: readonly Performance[]): readonly string[] {
    if (this.stopped === undefined) return [];
    const { writes, handovers } = this.simulation;
    const stop = { ...this.stopped, repeats: this.repeats, handovers };
    return checkGentleStop(factsOf(writes.past), performances, stop).slice(0, 5);
  }
}
