/**
 * The operators of the simulated cluster, and the clients that give them work: poison reaches throwing actors by
 * command, message and timer, actors of every kind are paused, and every held actor gets a verb sooner or later. Verbs
 * travel as in production: as commands to the actor's owner. At the end of a run `checkQuarantine` proves that one
 * quarantined actor does not stop its shard (G8). Used by runtime-scenario.ts; judged by
 * cluster-tests/checkers/supervised-actors.ts.
 */
import { operatorKind, verbOf, type Hold } from '@photoncloud/runtime/contract/supervision';
import { actorId, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import { shardOf } from '@photoncloud/runtime/journal/shard-placement';
import type { Chance } from './seeded-random.ts';
import type { ClientRecord, SimulatedClients } from './simulated-clients.ts';
import type { Simulation } from './simulation.ts';
import { poisonItem } from './throwing-kind.ts';

export interface OperatedActors {
  /** Counters; for each of them there is one throwing actor in the same shard. */
  readonly neighbours: readonly ActorId[];
  /** Actors that operators may pause, besides the throwing actors. */
  readonly pausable: readonly ActorId[];
}

interface HeldActor {
  readonly actor: ActorId;
  readonly hold: Hold;
}

const principal = 'operator';
const poisonClient = 'poison-client';
/** Mean pause between two actions of an operator; the second while every hold is to be ended. */
const actEveryMs = 2_000;
const releaseEveryMs = 250;
/** While one actor of a shard is quarantined, another one of it answers a command within this time. */
const neighbourAnswersMs = 5_000;

/** The first id of a throwing actor that is in the same shard as the neighbour. */
function throwingActorInShardOf(neighbour: ActorId): ActorId {
  for (let at = 0; ; at += 1) {
    const id = actorId(`throwing/t/a${at}`);
    if (shardOf(id) === shardOf(neighbour)) return id;
  }
}

export class SimulatedOperators {
  private readonly simulation: Simulation;
  private readonly clients: SimulatedClients;
  private readonly actors: OperatedActors;
  private readonly throwingActors: readonly ActorId[];
  private readonly relay = actorId('relay/t/poison');
  private readonly chance: Chance;
  private isPoisoning = true;
  /** The throwing actor of the check that is under way; meanwhile operators leave holds alone. */
  private underCheck: ActorId | undefined;

  constructor(simulation: Simulation, clients: SimulatedClients, actors: OperatedActors) {
    this.simulation = simulation;
    this.clients = clients;
    this.actors = actors;
    this.throwingActors = actors.neighbours.map(throwingActorInShardOf);
    this.chance = simulation.chance.split('operators');
  }

  start(): void {
    this.poisonSoon();
    this.actSoon();
  }

  /** From now on no new holds are caused, and every existing hold is ended. */
  stop(): void {
    this.isPoisoning = false;
  }

  private poisonSoon(): void {
    this.simulation.time.after(this.chance.around(600), undefined, poisonClient, () => {
      if (!this.isPoisoning) return;
      const { chance } = this;
      // Sometimes enough messages to fill the sender's outbox while the receiver is held.
      const messages = chance.happens(0.02) ? 80 : 1;
      const to = chance.pick(this.throwingActors);
      const draw = chance.fraction();
      const item = chance.happens(0.2) ? poisonItem : chance.whole(0, 30);
      if (draw < 0.5)
        for (let at = 0; at < messages; at += 1)
          this.ask(this.relay, { type: 'relay.send', to, as: 'throwing.handle' });
      else if (draw < 0.6) this.ask(to, { type: 'throwing.create' });
      else if (draw < 0.9) this.ask(to, { type: 'throwing.handle', item });
      else this.ask(to, { type: 'throwing.schedule', item, forMs: chance.whole(20, 3_000) });
      this.poisonSoon();
    });
  }

  private ask(to: ActorId, event: { type: string; [field: string]: unknown }): void {
    this.clients.ask(to, event, poisonClient);
  }

  private actSoon(): void {
    this.simulation.time.after(
      this.chance.around(this.isPoisoning ? actEveryMs : releaseEveryMs),
      undefined,
      'operator',
      () => {
        this.act();
        this.actSoon();
      },
    );
  }

  private act(): void {
    const { chance } = this;
    if (this.underCheck !== undefined) return;
    const held = this.held();
    if (held.length > 0 && (!this.isPoisoning || chance.happens(0.7))) this.endHold(chance.pick(held));
    else if (!this.isPoisoning) return;
    else if (chance.happens(0.6)) this.verb(chance.pick([...this.actors.pausable, ...this.throwingActors]), 'pause');
    else this.verb(chance.pick(this.throwingActors), chance.pick(['resume', 'skip', 'redrive']));
  }

  private endHold({ actor, hold }: HeldActor): void {
    const { chance } = this;
    // Only `resume` ends a pause; the other verbs are tried on it now and then all the same.
    if (hold.kind === 'paused')
      return this.verb(actor, chance.happens(0.8) ? 'resume' : chance.pick(['skip', 'redrive']));
    const verb = chance.pick(['resume', 'skip', 'redrive', 'reset', 'reset', 'pause'] as const);
    if (verb === 'reset' && actor.startsWith('throwing/')) return this.reset(actor);
    return this.verb(actor, verb === 'reset' ? 'skip' : verb);
  }

  /** Sometimes only a dry run; after a real reset the dead letters may be delivered again. */
  private reset(actor: ActorId): void {
    const plan = { to: 'idle', patch: { mended: true } };
    if (this.chance.happens(0.3)) return this.verb(actor, 'reset', { ...plan, dryRun: true });
    this.verb(actor, 'reset', plan, ({ outcome }) => {
      if (outcome === 'ok' && this.chance.happens(0.7)) this.verb(actor, 'redrive');
    });
  }

  private verb(actor: ActorId, verb: string, more: object = {}, onEnd?: (record: ClientRecord) => void): void {
    const reason = `reason ${this.clients.records.length}`;
    this.clients.ask(actor, { type: `${operatorKind}.${verb}`, reason, ...more }, principal, (record) => {
      if (record.outcome === 'ok') this.simulation.reach(`an operator's ${verbOf(record.command.event)}`);
      onEnd?.(record);
    });
  }

  /** Held actors by the records of the store. */
  private held(): readonly HeldActor[] {
    const found: HeldActor[] = [];
    const { space } = this.simulation.server;
    for (const key of space.keys.keys()) {
      const at = key.indexOf('}:a:');
      if (at < 0) continue;
      const { hold } = JSON.parse(space.hash(key)?.get('head') ?? '{}') as { hold?: Hold };
      if (hold !== undefined) found.push({ actor: actorId(key.slice(at + 4)), hold });
    }
    return found;
  }

  unsettled(): string | undefined {
    if (this.underCheck !== undefined) return `the check with ${this.underCheck} in quarantine is not over`;
    const [first] = this.held();
    return first === undefined ? undefined : `${first.actor} is ${first.hold.kind}`;
  }

  /**
   * Quarantines one throwing actor and demands that its neighbour in the same shard still answers. Called when no fault
   * is active and the cluster has settled; reports a violation to the simulation.
   */
  checkQuarantine(): void {
    const at = this.chance.whole(0, this.throwingActors.length - 1);
    const [throwing, neighbour] = [this.throwingActors[at] as ActorId, this.actors.neighbours[at] as ActorId];
    this.underCheck = throwing;
    this.clients.ask(throwing, { type: 'throwing.create' }, poisonClient, () => this.quarantine(throwing, neighbour));
  }

  private quarantine(throwing: ActorId, neighbour: ActorId): void {
    this.clients.ask(throwing, { type: 'throwing.handle', item: poisonItem }, poisonClient, ({ reply }) => {
      // An earlier reset had mended the actor, so that it handled this item; the next one makes it throw.
      if (reply?.ok === true) return this.quarantine(throwing, neighbour);
      const [first] = this.held();
      if (first?.actor !== throwing)
        this.simulation.violate(`K14: the chart of ${throwing} threw, and the actor is not held`);
      return this.clients.ask(
        neighbour,
        { type: 'counter.read' },
        'neighbour',
        ({ invokedMs, endedMs, reply: answer }) => {
          const tookMs = (endedMs ?? Infinity) - invokedMs;
          if (answer === undefined || tookMs > neighbourAnswersMs)
            this.simulation.violate(
              `K14: ${neighbour} did not answer for ${tookMs} ms while ${throwing}, in the same shard, is quarantined`,
            );
          this.simulation.reach('an answer from the shard of a quarantined actor');
          this.underCheck = undefined;
        },
      );
    });
  }
}
