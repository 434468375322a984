/**
 * The operators of the simulated cluster, and who gives them work: poison for throwingActors by command, message and
 * timer, pauses of actors of every kind, and for whatever is held a verb, sooner or later. Verbs travel as in
 * production: as commands to the actor's owner. Used by runtime-scenario.ts; judged by
 * cluster-tests/checkers/supervised-actors.ts.
 */
import { operatorKind, verbOf, type Hold } from '@photoncloud/runtime/contract/supervision';
import { actorId, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import { shardOf } from '@photoncloud/runtime/journal/shard-placement';
import type { Chance } from './seeded-random.ts';
import type { ClientRecord, SimulatedClients } from './simulated-clients.ts';
import type { Simulation } from './simulation.ts';
import { sharpItem } from './throwing-kind.ts';

export interface OperatedActors {
  /** Each throwing is made to share the shard of one of them. */
  readonly neighbours: readonly ActorId[];
  /** What may be paused, besides throwingActors. */
  readonly pausable: readonly ActorId[];
}

interface HeldActor {
  readonly actor: ActorId;
  readonly hold: Hold;
}

const principal = 'operator';
/** Mean pause between two things an operator does, and while all that is held is to be freed. */
const actEveryMs = 2_000;
const freeEveryMs = 250;
/** While an actor of a shard is quarantined, a command to another one of it is answered within. */
const progressMs = 5_000;

/** A name that lies in the same shard. */
function throwingBeside(neighbour: ActorId): ActorId {
  for (let at = 0; ; at += 1) {
    const id = actorId(`throwing/t/throwing${at}`);
    if (shardOf(id) === shardOf(neighbour)) return id;
  }
}

export class SimulatedOperators {
  private readonly simulation: Simulation;
  private readonly clients: SimulatedClients;
  private readonly actors: OperatedActors;
  private readonly throwingActors: readonly ActorId[];
  private readonly relay = actorId('relay/t/potter');
  private readonly chance: Chance;
  private poisoning = true;
  /** While set, holds are left alone. */
  private examining: ActorId | undefined;

  constructor(simulation: Simulation, clients: SimulatedClients, actors: OperatedActors) {
    this.simulation = simulation;
    this.clients = clients;
    this.actors = actors;
    this.throwingActors = actors.neighbours.map(throwingBeside);
    this.chance = simulation.chance.split('operators');
  }

  start(): void {
    this.poisonSoon();
    this.actSoon();
  }

  /** Holds nobody any more, and ends every hold there is. */
  stop(): void {
    this.poisoning = false;
  }

  private poisonSoon(): void {
    this.simulation.time.after(this.chance.around(600), undefined, 'potter', () => {
      if (!this.poisoning) return;
      const { chance } = this;
      // Now and then so many that a throwing that is held fills the outbox of who sends to it.
      const messages = chance.happens(0.02) ? 80 : 1;
      const to = chance.pick(this.throwingActors);
      const draw = chance.fraction();
      const item = chance.happens(0.2) ? sharpItem : chance.whole(0, 30);
      if (draw < 0.5)
        for (let at = 0; at < messages; at += 1) this.ask(this.relay, { type: 'relay.send', to, as: 'throwing.put' });
      else if (draw < 0.6) this.ask(to, { type: 'throwing.make' });
      else if (draw < 0.9) this.ask(to, { type: 'throwing.put', item });
      else this.ask(to, { type: 'throwing.wait', item, forMs: chance.whole(20, 3_000) });
      this.poisonSoon();
    });
  }

  private ask(to: ActorId, event: { type: string; [field: string]: unknown }): void {
    this.clients.ask(to, event, 'potter');
  }

  private actSoon(): void {
    this.simulation.time.after(
      this.chance.around(this.poisoning ? actEveryMs : freeEveryMs),
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
    if (this.examining !== undefined) return;
    const held = this.held();
    if (held.length > 0 && (!this.poisoning || chance.happens(0.7))) this.mend(chance.pick(held));
    else if (!this.poisoning) return;
    else if (chance.happens(0.6)) this.verb(chance.pick([...this.actors.pausable, ...this.throwingActors]), 'pause');
    else this.verb(chance.pick(this.throwingActors), chance.pick(['resume', 'skip', 'redrive']));
  }

  private mend({ actor, hold }: HeldActor): void {
    const { chance } = this;
    // What does not end a pause is tried on it all the same.
    if (hold.kind === 'paused')
      return this.verb(actor, chance.happens(0.8) ? 'resume' : chance.pick(['skip', 'redrive']));
    const verb = chance.pick(['resume', 'skip', 'redrive', 'reset', 'reset', 'pause'] as const);
    if (verb === 'reset' && actor.startsWith('throwing/')) return this.reset(actor);
    return this.verb(actor, verb === 'reset' ? 'skip' : verb);
  }

  /** First to see what would come of it, now and then; afterwards its dead letters may be delivered again. */
  private reset(actor: ActorId): void {
    const plan = { to: 'standing', patch: { mended: true } };
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

  /** As the store has it. */
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
    if (this.examining !== undefined) return `the examination of ${this.examining} is not over`;
    const [first] = this.held();
    return first === undefined ? undefined : `${first.actor} is ${first.hold.kind}`;
  }

  /**
   * Nothing fails, and one throwing is broken: whoever shares its shard goes on. Called when the cluster is at rest; a
   * rule that is broken is a violation.
   */
  examine(): void {
    const at = this.chance.whole(0, this.throwingActors.length - 1);
    const [broken, neighbour] = [this.throwingActors[at] as ActorId, this.actors.neighbours[at] as ActorId];
    this.examining = broken;
    this.clients.ask(broken, { type: 'throwing.make' }, 'potter', () => this.breakThrowing(broken, neighbour));
  }

  private breakThrowing(broken: ActorId, neighbour: ActorId): void {
    this.clients.ask(broken, { type: 'throwing.put', item: sharpItem }, 'potter', ({ reply }) => {
      // It was mended once too often.
      if (reply?.ok === true) return this.breakThrowing(broken, neighbour);
      const [first] = this.held();
      if (first?.actor !== broken) this.simulation.violate(`K14: ${broken} broke, and is not held`);
      return this.clients.ask(
        neighbour,
        { type: 'counter.read' },
        'neighbour',
        ({ invokedMs, endedMs, reply: answer }) => {
          const tookMs = (endedMs ?? Infinity) - invokedMs;
          if (answer === undefined || tookMs > progressMs)
            this.simulation.violate(
              `K14: ${neighbour} was silent for ${tookMs} ms beside ${broken}, which is quarantined`,
            );
          this.simulation.reach('an answer beside a quarantined actor');
          this.examining = undefined;
        },
      );
    });
  }
}
