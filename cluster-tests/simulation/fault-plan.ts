/**
 * What goes wrong, and when: each kind that the seed has armed strikes again and again at random times, draws its
 * victim, and lasts for a while. `heal` ends everything and makes sure that every node runs again. Within the fault
 * budget, but for a power cut that loses commits (`beyondBudget`). Wider faults are added here, not in prose.
 */
import type { Chance } from './seeded-random.ts';
import type { Simulation } from './simulation.ts';
import { storeStrikes } from './store-faults.ts';

/** What ends a fault, or goes on with it, after a while; at once when all is healed. */
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
      simulation.hold(name, true);
      lasts(chance.around(8_000), () => {
        simulation.hold(name, false);
        simulation.startSeat(name);
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
  'stop gently'(simulation, chance) {
    const node = simulation.node(anyNode(simulation, chance));
    if (node === undefined || node.process.paused) return;
    simulation.fault('stop gently', node.process.label);
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
  clog(simulation, chance) {
    const pair = twoNodes(simulation, chance);
    if (pair === undefined) return;
    simulation.fault('clog', pair.join(' '));
    simulation.network.clog(...pair, chance.around(1_500));
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
  'store cut off'(simulation, chance, lasts) {
    const name = anyNode(simulation, chance);
    simulation.fault('store cut off', name);
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
    simulation.hold(name, true);
    lasts(chance.around(5_000), () => {
      simulation.hold(name, false);
      simulation.startSeat(name);
    });
    process.kill();
    simulation.diskOf(name).losePower();
  },
  'disk trouble'(simulation, chance, lasts) {
    const name = anyNode(simulation, chance);
    const disk = simulation.diskOf(name);
    disk.trouble = chance.pick(['full', 'failing'] as const);
    simulation.fault('disk trouble', `${name} ${disk.trouble}`);
    lasts(chance.around(4_000), () => {
      disk.trouble = undefined;
    });
  },
  'connection reset'(simulation, chance) {
    const name = anyNode(simulation, chance);
    simulation.fault('connection reset', name);
    simulation.breakConnections(({ processName }) => processName === name);
  },
  'wall step'(simulation, chance) {
    const process = simulation.processOf(anyNode(simulation, chance));
    if (process === undefined) return;
    const stepMs = chance.pick([50, 2_000, 60_000]) * chance.between(-1, 1);
    simulation.fault('wall step', `${process.label} ${stepMs.toFixed(0)} ms`);
    process.wallOffsetMs += stepMs;
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

  /** The file as `appendfsync everysec` leaves it: a power cut loses up to a second of what was acknowledged. */
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
    for (const name of simulation.nodeNames()) simulation.hold(name, false);
    for (const name of simulation.nodeNames()) simulation.startSeat(name);
  }
}
