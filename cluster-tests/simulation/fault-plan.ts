/**
 * Injects faults: each kind that the seed has armed happens again and again at random times, draws its target and lasts
 * for a while. `heal` ends every fault and makes sure that every node runs again. All faults are within the fault
 * budget except the power cut of the store that loses commits (`beyondBudget`). New kinds of faults are added here and
 * in seed-options.ts; faults of a store with replicas are in store-faults.ts. Made by simulation-run.ts.
 */
import type { Chance } from './seeded-random.ts';
import type { Simulation } from './simulation.ts';
import { storeStrikes } from './store-faults.ts';

/** Runs `next`, which ends a fault or takes its next step, after `ms`; on healing it runs at once. */
export type Lasts = (ms: number, next: () => void) => void;
export type Strike = (simulation: Simulation, chance: Chance, lasts: Lasts) => void;

const anyNode = (simulation: Simulation, chance: Chance): string => chance.pick(simulation.nodeNames());

function twoNodes(simulation: Simulation, chance: Chance): readonly [string, string] | undefined {
  const names = simulation.nodeNames();
  if (names.length < 2) return undefined;
  const from = chance.pick(names);
  return [from, chance.pick(names.filter((name) => name !== from))];
}

const refusals = [
  "OOM command not allowed when used memory > 'maxmemory'.",
  'MISCONF Redis is configured to save RDB snapshots, but it is currently not able to persist on disk.',
  "READONLY You can't write against a read only replica.",
  'LOADING Redis is loading the dataset in memory',
];

const strikes: Readonly<Record<string, Strike>> = {
  ...storeStrikes,
  kill(simulation, chance, lasts) {
    const name = anyNode(simulation, chance);
    const process = simulation.processOf(name);
    if (process === undefined) return;
    simulation.fault('kill', process.label);
    if (chance.happens(0.3)) {
      simulation.keepDown(name, true);
      lasts(chance.around(8_000), () => {
        simulation.keepDown(name, false);
        simulation.startProcessOf(name);
      });
    }
    process.kill();
  },
  pause(simulation, chance, lasts) {
    const process = simulation.processOf(anyNode(simulation, chance));
    if (process === undefined || process.paused) return;
    simulation.fault('pause', process.label);
    process.pause();
    simulation.network.paused(process);
    lasts(chance.pick([50, 1_000, 4_000, 20_000]) * chance.between(0.2, 2), () => process.resume());
  },
  'graceful stop'(simulation, chance) {
    const node = simulation.node(anyNode(simulation, chance));
    if (node === undefined || node.process.paused) return;
    simulation.fault('graceful stop', node.process.label);
    simulation.time.after(0, node.process, 'SIGTERM', () => void node.stop());
  },
  partition(simulation, chance, lasts) {
    const pair = twoNodes(simulation, chance);
    if (pair === undefined) return;
    const [one, other] = pair;
    simulation.fault('partition', `${one} ${other}`);
    simulation.network.block(one, other);
    simulation.network.block(other, one);
    lasts(chance.around(6_000), () => {
      simulation.network.unblock(one, other);
      simulation.network.unblock(other, one);
    });
  },
  'partition one way'(simulation, chance, lasts) {
    const pair = twoNodes(simulation, chance);
    if (pair === undefined) return;
    simulation.fault('partition one way', pair.join(' '));
    simulation.network.block(...pair);
    lasts(chance.around(6_000), () => simulation.network.unblock(...pair));
  },
  'link stall'(simulation, chance) {
    const pair = twoNodes(simulation, chance);
    if (pair === undefined) return;
    simulation.fault('link stall', pair.join(' '));
    simulation.network.stall(...pair, chance.around(1_500));
  },
  'store restart'(simulation, chance, lasts) {
    const { server, store } = simulation;
    if (!server.up || store.isFailingOver) return;
    simulation.fault('store restart');
    simulation.stopServer(server);
    lasts(chance.around(1_500), () => store.restart(server));
  },
  'store power cut'(simulation, chance, lasts) {
    const { server, store } = simulation;
    if (!server.up || store.isFailingOver) return;
    simulation.fault('store power cut');
    simulation.stopServer(server);
    store.rollBack();
    lasts(chance.around(1_500), () => store.restart(server));
  },
  'store pause'(simulation, chance, lasts) {
    const { server, store } = simulation;
    if (store.isFailingOver) return;
    simulation.fault('store pause');
    server.paused = true;
    lasts(chance.around(1_500), () => {
      server.paused = false;
    });
  },
  'store unreachable'(simulation, chance, lasts) {
    const name = anyNode(simulation, chance);
    simulation.fault('store unreachable', name);
    simulation.storeConditions.cutOff.add(name);
    lasts(chance.around(4_000), () => simulation.storeConditions.cutOff.delete(name));
  },
  'store refuses'(simulation, chance, lasts) {
    const refusal = chance.pick(refusals);
    const { server } = simulation;
    simulation.fault('store refuses', refusal);
    server.refusal = refusal;
    lasts(chance.around(1_500), () => {
      server.refusal = undefined;
    });
  },
  'host power cut'(simulation, chance, lasts) {
    const name = anyNode(simulation, chance);
    const process = simulation.processOf(name);
    if (process === undefined) return;
    simulation.fault('host power cut', process.label);
    simulation.keepDown(name, true);
    lasts(chance.around(5_000), () => {
      simulation.keepDown(name, false);
      simulation.startProcessOf(name);
    });
    process.kill();
    simulation.diskOf(name).losePower();
  },
  'disk fault'(simulation, chance, lasts) {
    const name = anyNode(simulation, chance);
    const disk = simulation.diskOf(name);
    disk.fault = chance.pick(['full', 'failing'] as const);
    simulation.fault('disk fault', `${name} ${disk.fault}`);
    lasts(chance.around(4_000), () => {
      disk.fault = undefined;
    });
  },
  'connection reset'(simulation, chance) {
    const name = anyNode(simulation, chance);
    simulation.fault('connection reset', name);
    simulation.breakConnections(({ processName }) => processName === name);
  },
  'wall clock step'(simulation, chance) {
    const process = simulation.processOf(anyNode(simulation, chance));
    if (process === undefined) return;
    const stepMs = chance.pick([50, 2_000, 60_000, 10_800_000]) * chance.between(-1, 1);
    simulation.fault('wall clock step', `${process.label} ${stepMs.toFixed(0)} ms`);
    process.wallOffsetMs += stepMs;
  },
  /**
   * Backwards only: a step forward while no node runs cannot be told from time, and K9 would call its timers early.
   * cluster-clock.test.ts steps the clock of a real store forward.
   */
  'store clock step'(simulation, chance) {
    const stepMs = -chance.pick([50, 2_000, 60_000, 10_800_000]) * chance.fraction();
    simulation.fault('store clock step', `${stepMs.toFixed(0)} ms`);
    simulation.storeOffsetMs += stepMs;
  },
};

export class FaultPlan {
  private readonly simulation: Simulation;
  private readonly ends = new Set<() => void>();
  private healed = false;

  constructor(simulation: Simulation) {
    this.simulation = simulation;
    if (simulation.options.beyondBudget) this.syncEverySecond();
    for (const [kind, everyMs] of Object.entries(simulation.options.faults)) {
      this.again(kind, everyMs, simulation.chance.split(`fault ${kind}`));
    }
  }

  /**
   * Syncs the store's file as `appendfsync everysec` does: a power cut loses up to a second of acknowledged commits.
   */
  private syncEverySecond(): void {
    this.simulation.server.fsync();
    this.simulation.time.after(1_000, undefined, 'fsync', () => this.syncEverySecond());
  }

  private again(kind: string, everyMs: number, chance: Chance): void {
    this.simulation.time.after(chance.around(everyMs), undefined, `fault ${kind}`, () => {
      if (this.healed) return;
      const strike = strikes[kind];
      if (strike === undefined) throw new Error(`there is no fault ${kind}`);
      strike(this.simulation, chance, (ms, end) => this.lasts(ms, end));
      this.again(kind, everyMs, chance);
    });
  }

  private lasts(ms: number, end: () => void): void {
    this.ends.add(end);
    this.simulation.time.after(ms, undefined, 'fault ends', () => {
      if (this.ends.delete(end)) end();
    });
  }

  heal(): void {
    this.healed = true;
    const { simulation } = this;
    simulation.note('heal', 'all faults end');
    for (const end of this.ends) end();
    this.ends.clear();
    simulation.network.heal();
    simulation.storeConditions.lostRequest = 0;
    simulation.storeConditions.lostReply = 0;
    for (const { process } of simulation.nodes()) process.wallOffsetMs = 0;
    for (const name of simulation.nodeNames()) simulation.keepDown(name, false);
    for (const name of simulation.nodeNames()) simulation.startProcessOf(name);
  }
}
