/**
 * The workload of the runtime: counters with hot keys, relays that send numbered messages to sinks, ovens with effects
 * and timers, shelves with rows (runtime/hosting/kinds-for-tests.ts), and the kinds of this folder for what those do
 * not reach; actors of the same name are created and deleted, old commands are repeated. All nodes are controllers.
 * Judged by cluster-tests/checkers; started by simulation-run.ts.
 */
import type { ActorDefinition, ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import type { EffectContext } from '@photoncloud/runtime/contract/effect';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import { done, type EffectOutcome } from '@photoncloud/runtime/contract/outcome';
import { plainRegistry, registryOf, type Bake } from '@photoncloud/runtime/hosting/kinds-for-tests';
import { judgeRuntime, type Performance } from '../checkers/runtime-promises.ts';
import { BoundsWatch } from './bounds-watch.ts';
import { DrainCheck } from './drain-check.ts';
import { HistoryCheck } from './history-check.ts';
import { isUpgradedContext, upgradedOf } from './upgraded-kind.ts';
import type { Chance } from './seeded-random.ts';
import { SimulatedClients } from './simulated-clients.ts';
import { SimulatedOperators } from './simulated-operators.ts';
import { SimulatedReleases } from './simulated-releases.ts';
import { wallStartMs, type SimulatedProcess } from './simulated-process.ts';
import type { Simulation } from './simulation.ts';
import { isPoison, throwing } from './throwing-kind.ts';
import { effectOnly, timerOnly } from './waiting-kinds.ts';

/** What simulation-run.ts asks of a workload. */
export interface Scenario {
  /** Adds nodes and begins to send commands. */
  start(): void;
  /** Sends no new commands; open ones go on. */
  stopAsking(): void;
  /** Describes something that has not settled yet; undefined when everything has. */
  unsettled(): string | undefined;
  /** Violations of the whole run. */
  judge(): readonly string[];
  readonly clients: SimulatedClients;
  /** Checks that need a cluster without faults; started one after the other, after each the cluster must settle. */
  readonly finalChecks?: readonly (() => void)[];
}

export type ScenarioOf = (simulation: Simulation) => Scenario;

const ids = (kind: string, count: number) => Array.from({ length: count }, (_, at) => actorId(`${kind}/t/a${at}`));

const kinds = (upgraded: ActorDefinition, perform?: Bake): ActorRegistry => {
  const plain = perform === undefined ? plainRegistry() : plainRegistry(perform);
  const all = [...plain.kinds.values(), timerOnly, throwing, upgraded, effectOnly(perform)];
  return registryOf(...all.map((definition) => ({ ...definition, historyTail })));
};

/** Small, so that much of each history is archived. */
const historyTail = 8;

class RuntimeScenario implements Scenario {
  readonly clients: SimulatedClients;
  private readonly simulation: Simulation;
  private readonly chance: Chance;
  private readonly performances: Performance[] = [];
  /** Actor -> the highest fence that the target of its effects has seen. */
  private readonly fences = new Map<string, readonly number[]>();
  private readonly counters = ids('counter', 6);
  private readonly relays = ids('relay', 5);
  private readonly sinks = ids('sink', 3);
  private readonly ovens = ids('oven', 4);
  /** Many, so that each is seldom sent a message: one that a takeover forgot is not woken by chance. */
  private readonly effectOnlyActors = ids('effect-only', 40);
  private readonly shelves = ids('shelf', 2);
  private readonly timerOnlyActors = ids('timer-only', 8);
  private readonly operators: SimulatedOperators;
  private readonly releases: SimulatedReleases;
  private readonly drain: DrainCheck;
  private readonly bounds: BoundsWatch;
  private readonly histories: HistoryCheck;
  readonly finalChecks: readonly (() => void)[];
  private asking = true;

  constructor(simulation: Simulation) {
    this.simulation = simulation;
    this.clients = new SimulatedClients(simulation);
    const { counters, relays, sinks, ovens, timerOnlyActors } = this;
    const pausable = [...counters.slice(1), ...relays, ...sinks, ...ovens, ...timerOnlyActors];
    this.operators = new SimulatedOperators(simulation, this.clients, { neighbours: counters.slice(0, 4), pausable });
    this.releases = new SimulatedReleases(simulation, this.clients);
    this.bounds = new BoundsWatch(simulation);
    this.drain = new DrainCheck(simulation, () => this.askSomething());
    this.histories = new HistoryCheck(simulation);
    this.finalChecks = [() => this.operators.checkQuarantine(), () => this.drain.start(), () => this.histories.start()];
    this.chance = simulation.chance.split('workload');
  }

  start(): void {
    const { options } = this.simulation;
    for (let at = 1; at <= options.controllers; at += 1) {
      this.simulation.addNode({
        name: `n${at}`,
        role: 'controller',
        limits: options.limits,
        outlivesRollback: true,
        registry: ({ process }) =>
          kinds(this.releases.upgradedFor(process.name), ({ loaf }, context) => this.perform(process, loaf, context)),
        onStarted: (node) => {
          this.drain.watch(node);
          this.bounds.watch(node);
        },
      });
    }
    this.askSoon();
    this.operators.start();
    this.releases.start();
  }

  stopAsking(): void {
    this.asking = false;
    this.operators.stop();
    this.releases.stop();
  }

  private askSoon(): void {
    this.simulation.time.after(this.chance.around(this.simulation.options.commandEveryMs), undefined, 'client', () => {
      if (!this.asking) return;
      const burst = this.chance.happens(0.02) ? 30 : 1;
      for (let at = 0; at < burst; at += 1) this.askSomething();
      this.askSoon();
    });
  }

  private askSomething(): void {
    const { chance, clients } = this;
    const client = `client${chance.whole(1, 4)}`;
    if (chance.happens(0.05) && clients.records.length > 0)
      return clients.repeat(chance.pick(clients.records.slice(-200)));
    const draw = chance.fraction();
    if (draw < 0.45) return this.askCounter(client);
    if (draw < 0.68)
      return clients.ask(chance.pick(this.relays), { type: 'relay.send', to: chance.pick(this.sinks) }, client);
    if (draw < 0.7) {
      const to = chance.pick(this.effectOnlyActors);
      return clients.ask(chance.pick(this.relays), { type: 'relay.send', to, as: 'effect-only.start' }, client);
    }
    if (draw < 0.85) {
      const [type, patienceMs] = [
        chance.pick(['oven.bake', 'oven.bake', 'oven.stop', 'oven.finish']),
        chance.whole(20, 4_000),
      ];
      return clients.ask(
        chance.pick(this.ovens),
        type === 'oven.bake' ? { type, patienceMs, loaf: `l${clients.records.length}` } : { type },
        client,
      );
    }
    if (draw < 0.89)
      return clients.ask(
        chance.pick(this.timerOnlyActors),
        { type: 'timer-only.wait', forMs: chance.whole(20, 20_000) },
        client,
      );
    const key = `k${chance.whole(1, 6)}`;
    const type = chance.pick(['shelf.put', 'shelf.put', 'shelf.take', 'shelf.show', 'shelf.all']);
    return clients.ask(
      chance.pick(this.shelves),
      type === 'shelf.all' ? { type } : { type, key, value: clients.records.length },
      client,
    );
  }

  private askCounter(client: string): void {
    const { chance, clients } = this;
    // The first counter gets half of the commands: a hot key.
    const to = chance.happens(0.5) ? this.counters[0] : chance.pick(this.counters);
    const type = chance.pick([
      'add',
      'add',
      'add',
      'add',
      'add',
      'read',
      'read',
      'create',
      'create',
      'burst',
      'burst',
      'delete',
    ]);
    const by = chance.whole(-1, 5);
    clients.ask(to ?? actorId('counter/t/a0'), { type: `counter.${type}`, by }, client);
  }

  /** The target of all effects: slow, failing or silent, and it refuses an older fence than it has seen. */
  private async perform(process: SimulatedProcess, loaf: string, context: EffectContext): Promise<EffectOutcome> {
    const { simulation } = this;
    const { effectId, actor, fence, recovered } = context;
    const atMs = simulation.time.nowMs;
    const seen = this.fences.get(actor) ?? [0, 0, 0];
    const token = [fence.era, fence.ownerEpoch, fence.version];
    const stale = compareTokens(token, seen) < 0;
    const performance: Performance = { atMs, by: process.label, effectId, actor, fence, recovered, stale };
    this.performances.push(performance);
    if (recovered) simulation.reach('an effect performed again after a recovery');
    if (stale) {
      simulation.reach('an effect refused by its target for an older fence');
      throw new PhotonError('fault', 'stale_fence', `the target has seen a higher fence of ${actor}`);
    }
    this.fences.set(actor, token);
    const random = process.random;
    const delayMs = random.pick([1, 20, 400, 3_000]);
    const draw = random.fraction();
    await new Promise<void>((resolve) => process.clock.after(random.around(delayMs), resolve));
    if (context.signal.aborted) simulation.reach('an effect that ended after its state was left');
    if (draw >= 0.18 || draw < 0.15) performance.endedMs = simulation.time.nowMs;
    if (draw < 0.1) throw new PhotonError('fault', 'target_failed', 'the target of the effect failed');
    if (draw < 0.15) throw new PhotonError('unknown', 'target_silent', 'the target of the effect did not answer');
    if (draw < 0.18) await new Promise<void>(() => {});
    return done({ loaf });
  }

  unsettled(): string | undefined {
    const { simulation, clients } = this;
    const check = this.releases.unsettled() ?? this.drain.unsettled() ?? this.histories.unsettled();
    if (check !== undefined) return check;
    if (clients.open > 0) return `${clients.open} commands without an answer`;
    const running = simulation.nodes();
    if (running.length !== simulation.options.controllers) return `${running.length} nodes have joined`;
    let shards = 0;
    for (const { host, process, archiver } of running) {
      const figures = host.figures();
      if ((archiver?.figures().waiting ?? 0) > 0)
        return `history waits on ${process.label}: ${JSON.stringify(archiver?.figures())}`;
      shards += figures.shards;
      const { mailboxDepth, commitsInFlight, outboxDepth } = figures;
      if (mailboxDepth + commitsInFlight + outboxDepth > 0)
        return `${process.label} has ${JSON.stringify({ mailboxDepth, commitsInFlight, outboxDepth })}`;
    }
    return shards === 128 ? (this.operators.unsettled() ?? this.overdue()) : `${shards} shards have an owner`;
  }

  /** A stored timer that is past due, or a stored effect that no running process has started. */
  private overdue(): string | undefined {
    const { simulation, performances } = this;
    const nowMs = wallStartMs + simulation.time.nowMs;
    const running = new Set(simulation.nodes().map(({ process }) => process.label));
    const begun = new Set(performances.flatMap(({ by, effectId }) => (running.has(by) ? [effectId] : [])));
    for (const key of simulation.server.space.keys.keys()) {
      if (key.endsWith('}:t')) {
        for (const [timer, value] of simulation.server.space.hash(key) ?? []) {
          if (Number(value.split(' ', 1)[0]) < nowMs - 2_000) return `timer ${timer} is overdue`;
        }
      } else if (key.includes('}:a:')) {
        const head = simulation.server.space.hash(key)?.get('head') ?? '{}';
        const { effects = [] } = JSON.parse(head) as { effects?: { effectId: string }[] };
        const idle = effects.find(({ effectId }) => !begun.has(effectId));
        if (idle !== undefined) return `no process performs ${idle.effectId}`;
      }
    }
    return undefined;
  }

  judge(): readonly string[] {
    const { simulation, performances, clients } = this;
    const releases = new Map([1, 2, 3].map((release) => [release, kinds(upgradedOf(release)).kinds]));
    const kept = judgeRuntime({
      ...simulation.writes,
      records: clients.records,
      performances,
      charts: {
        of: (kind, version) => releases.get(kind === 'upgraded' ? version : 1)?.get(kind),
        hasShape: (kind, version, context) => kind !== 'upgraded' || isUpgradedContext(version, context),
      },
      isPoison: (actor, event, context) =>
        actor.startsWith('throwing/') ? isPoison(event, context as never) : undefined,
    });
    return [...kept, ...this.drain.judge(performances)];
  }
}

function compareTokens(one: readonly number[], other: readonly number[]): number {
  for (const [at, value] of one.entries()) if (value !== other[at]) return value - (other[at] ?? 0);
  return 0;
}

export const runtimeScenario: ScenarioOf = (simulation) => new RuntimeScenario(simulation);
