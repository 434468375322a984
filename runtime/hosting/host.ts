/**
 * A host of durable actors: it takes the ports of runtime/contract (journal, directory, clock, outlet) and offers the
 * Inlet to peers and to the control API. It connects the parts of hosting and checks the node's limits at the entrance;
 * step.ts describes what happens inside an actor. Called by composition roots. runtime/directory decides who owns a
 * shard and calls `grant` and `revoke`.
 */
import type { ActorRegistry } from '../contract/actor-definition.ts';
import type { SharedClock } from '../contract/clock.ts';
import type { ActorEvent, Command, Message, Reply } from '../contract/envelope.ts';
import { isForGood } from '../contract/errors.ts';
import { partsOf } from '../contract/identifiers.ts';
import type { ActorId, ShardId } from '../contract/identifiers.ts';
import { verbOf } from '../contract/supervision.ts';
import type { Journal, Receipt, ShardGrant } from '../contract/journal.ts';
import type { Delivery, Directory, Inlet, Outlet } from '../contract/link.ts';
import type { Log } from '../contract/log.ts';
import type { Random } from '../contract/random.ts';
import { watermarkOf } from '../contract/deduplication-watermark.ts';
import type { Activation } from './activation.ts';
import { conflict, notKept, overloaded, overloadRetryMs, receiptOnItsWay } from './command-answers.ts';
import type { CommitBuilder } from './commit-builder.ts';
import { EffectRunner } from './effect-runner.ts';
import { defaultLimits, figuresOf } from './host-limits.ts';
import type { HostFigures, HostLimits } from './host-limits.ts';
import { readReceipt, readsReceipts, systemPrincipal } from './input-check.ts';
import type { CommandAnswer, OpenCommand } from './mailbox.ts';
import { Outbox } from './outbox.ts';
import { registerKinds, type RegisteredKind } from './registration.ts';
import { refusalReason, ActivationTable } from './activation-table.ts';
import { Router } from './router.ts';
import { ShardLifecycle } from './shard-lifecycle.ts';
import type { StepContext } from './step-context.ts';
import { TimerQueue } from './timer-queue.ts';

export interface HostOptions {
  readonly registry: ActorRegistry;
  readonly journal: Journal;
  readonly directory: Directory;
  readonly outlet: Outlet;
  readonly nodeName: string;
  readonly clock: SharedClock;
  readonly random: Random;
  readonly log: Log;
  readonly limits?: Partial<HostLimits>;
  /** The store has refused this epoch. The shard is dropped already; membership should check its ownership. */
  readonly onFenced?: (grant: ShardGrant) => void;
  /** A peer addresses this node as the owner of a shard it does not hold; maybe the shard was handed over just now. */
  readonly onStranger?: (shard: ShardId) => void;
}

export interface Host extends Inlet {
  /** Takes a shard up: its timers, unacknowledged messages and pending effects go on. Resolves when they do. */
  grant(grant: ShardGrant): Promise<void>;
  /** Drops everything of a shard at once; nothing of it leaves any more. */
  revoke(shard: ShardId): void;
  /** Before shards are handed over: takes no more inputs, finishes what is in flight (G12). `revoke` follows. */
  retire(shards: readonly ShardId[]): Promise<void>;
  /** Sends an event to an actor as the system. Resolves when it is durable, also if the chart ignores it. */
  tell(to: ActorId, event: ActorEvent): Promise<void>;
  /** Sends a command to the actor's owner and waits for its answer, deferred or not. */
  ask(command: Command): Promise<Reply>;
  /** A node that did not answer is there again: what waits for an answer of some node is sent now. */
  retryNow(): void;
  /** Retires and drops all shards, and stops. */
  drain(): Promise<void>;
  figures(): HostFigures;
}

const busyRetryMs = 50;

class ActorHost implements Host, StepContext {
  readonly journal: Journal;
  readonly clock: SharedClock;
  readonly random: Random;
  readonly log: Log;
  readonly limits: HostLimits;
  readonly outbox: Outbox;
  readonly timers: TimerQueue;
  readonly effects: EffectRunner;
  private readonly options: HostOptions;
  private readonly kinds: ReadonlyMap<string, RegisteredKind>;
  private readonly activations: ActivationTable;
  private readonly router: Router;
  private readonly shards: ShardLifecycle;
  private readonly commitPrefix: string;
  private commits = 0;
  private builders = 0;

  constructor(options: HostOptions) {
    const { journal, clock, random, log, nodeName } = options;
    this.options = options;
    this.journal = journal;
    this.clock = clock;
    this.random = random;
    this.log = log.child({ node: nodeName });
    this.limits = { ...defaultLimits, ...options.limits };
    this.commitPrefix = `${random.ulid(clock.sharedMs())}.`;
    this.kinds = registerKinds(options.registry, journal.durability);
    this.activations = new ActivationTable(this, this.kinds);
    this.shards = new ShardLifecycle(this, this.activations);
    this.router = new Router({ ...options, log: this.log, local: this, askMs: this.limits.askMs });
    this.timers = new TimerQueue(clock, (shard, input) => {
      const grant = this.shards.entry(shard);
      if (grant !== undefined) this.activations.offer(this.activations.activate(input.actor, grant, true), input);
    });
    this.effects = new EffectRunner({
      clock,
      node: nodeName,
      placesOf: (pool) => (pool === undefined ? this.limits.effects : this.limits.pooledEffects),
      report: (actor, input) => {
        if (actor.phase !== 'dropped') this.activations.offer(actor, input);
      },
    });
    this.outbox = new Outbox({
      clock,
      log: this.log,
      deliver: (message) => this.router.deliver(message),
      refresh: () => this.router.refresh(),
      isClosing: (shard) => this.shards.isClosing(shard),
      forget: (grant, rows) => journal.forgetMessages(grant, rows),
      fraction: () => random.fraction(),
    });
    options.directory.onChange?.(() => this.retryNow());
  }

  retryNow(): void {
    this.router.retryNow();
    this.outbox.retryNow();
  }

  // The Inlet.

  deliver(message: Message): Promise<Delivery> {
    const grant = this.entry(message.to);
    if (grant === undefined) return Promise.resolve({ result: 'moved' });
    // The sender knows of a store rollback that this node has not noticed yet: what it writes now may be discarded.
    if (message.era > grant.era) return Promise.resolve({ result: 'busy', retryAfterMs: overloadRetryMs });
    // A full node takes messages all the same: their senders stay in memory until the messages are delivered, so a
    // node that refused them would stay full for ever. Asked for its side effect only: idle actors leave a full node.
    this.activations.passivation.hasRoom(message.to);
    if (this.isCrowdedFor(message.to)) return Promise.resolve({ result: 'busy', retryAfterMs: overloadRetryMs });
    const actor = this.activations.activate(message.to, grant);
    if (actor.mailbox.offered >= this.limits.mailboxDepth)
      return Promise.resolve({ result: 'busy', retryAfterMs: busyRetryMs });
    const sender = watermarkOf(message);
    return new Promise((settle) => this.activations.offer(actor, { kind: 'message', message, sender, settle }));
  }

  command(command: Command): Promise<CommandAnswer> {
    const grant = this.entry(command.to);
    if (grant === undefined) return Promise.resolve({ moved: true });
    if (this.isFull(command)) return Promise.resolve(overloaded(command.to, 0, 'this node'));
    const actor = this.activations.activate(command.to, grant);
    const known = actor.commands.get(command.commandId);
    if (known !== undefined) return this.join(actor, known, command);
    const past = actor.answered.get(command.commandId);
    if (past !== undefined) {
      return Promise.resolve(past.digest === command.digest ? past.reply : conflict(actor, command.commandId));
    }
    const coming = receiptOnItsWay(actor, command.commandId);
    if (coming !== undefined) return this.expect(actor, coming, command);
    if (this.crowded(actor)) return Promise.resolve(overloaded(actor.id, actor.ahead.version, actor.id));
    const { offered } = this.journal.durability;
    if (command.durability !== undefined && !offered.includes(command.durability)) {
      return Promise.resolve(notKept(actor, command.durability, offered));
    }
    return new Promise((settle) => {
      const open: OpenCommand = { command, receipt: 'unknown', reply: undefined, waiters: [settle] };
      actor.commands.set(command.commandId, open);
      // The receipt is read in parallel with the load, so that the actor need not wait for it later.
      if (readsReceipts(actor)) readReceipt(this, actor, open);
      this.activations.offer(actor, { kind: 'command', open });
    });
  }

  private entry(id: ActorId): ShardGrant | undefined {
    const shard = this.activations.find(id)?.grant.shard ?? this.journal.shardOf(id);
    if (!this.shards.holds(shard)) this.options.onStranger?.(shard);
    return this.shards.entry(shard);
  }

  private join(actor: Activation, open: OpenCommand, command: Command): Promise<CommandAnswer> {
    if (open.command.digest !== command.digest) {
      return Promise.resolve(conflict(actor, command.commandId));
    }
    return new Promise((settle) => open.waiters.push(settle));
  }

  /** A commit in flight answers this command: the gate gives the answer; if the commit is lost, it is decided anew. */
  private expect(actor: Activation, receipt: Receipt, command: Command): Promise<CommandAnswer> {
    if (receipt.digest !== command.digest) return Promise.resolve(conflict(actor, command.commandId));
    return new Promise((settle) => {
      actor.commands.set(command.commandId, { command, receipt, reply: receipt.reply, waiters: [settle] });
    });
  }

  /** Too many actors with something going on, or too many effects of its scope waiting: not for one actor alone. */
  private isFull(command: Command): boolean {
    if (this.isCrowdedFor(command.to)) return true;
    return !this.activations.passivation.hasRoom(command.to) && !this.isExemptFromOverload(command);
  }

  /**
   * Commands that a full node takes all the same, because they may end what fills it: what nodes say themselves (a host
   * is silent, is back), verbs of operators, and what its kind says `exemptFromOverload`. Actors whose messages nobody
   * takes stay in memory until they are delivered; when their receivers are held, or on a host that is off, only an
   * operator ends that, by a command to an actor that is not in memory yet. Without the exemption a lost host could not
   * be fenced, for all who waited for it filled the controller. The node does not grow without bound by it (G11): few
   * actors get such commands, and each is at rest once it has answered.
   */
  private isExemptFromOverload({ to, event, principal }: Command): boolean {
    return (
      principal === systemPrincipal ||
      verbOf(event) !== undefined ||
      this.kinds.get(partsOf(to).kind)?.exempt.has(event.type) === true
    );
  }

  private isCrowdedFor(id: ActorId): boolean {
    return this.effects.isCrowdedFor(id, this.limits.effectsWaiting);
  }

  private crowded(actor: Activation): boolean {
    return (
      actor.mailbox.offered >= this.limits.mailboxDepth || this.outbox.depthOf(actor.id) >= this.limits.outboxDepth
    );
  }

  // Shards.

  grant(grant: ShardGrant): Promise<void> {
    return this.shards.open(grant);
  }

  revoke(shard: ShardId): void {
    this.shards.drop(shard);
  }

  retire(shards: readonly ShardId[]): Promise<void> {
    return this.shards.close(shards);
  }

  // StepContext: what steps use of their host.

  nextNumber(): number {
    this.builders += 1;
    return this.builders;
  }

  nextCommitId(): string {
    this.commits += 1;
    return this.commitPrefix + this.commits.toString(36);
  }

  schedule(actor: Activation): void {
    this.activations.schedule(actor);
  }

  wake(actor: Activation, builder: CommitBuilder): void {
    this.activations.wake(actor, builder);
  }

  lost(builder: CommitBuilder, failure: unknown): void {
    const { actor } = builder;
    if (actor.phase === 'dropped') return;
    this.log.warn(
      { actor: actor.id, outcome: refusalReason(builder, failure) },
      'a commit was not taken; the activation is dropped',
    );
    if (builder.outcome?.result === 'fenced') this.fenced(actor.grant);
    else if (builder.outcome !== undefined) this.activations.reload(actor);
    else if (isForGood(failure)) this.activations.condemn(builder, failure);
    else this.activations.reload(actor, this.limits.readAgainMs);
  }

  fenced(grant: ShardGrant): void {
    if (!this.shards.isCurrent(grant)) return;
    this.revoke(grant.shard);
    this.options.onFenced?.(grant);
  }

  ask(command: Command): Promise<Reply> {
    return this.router.ask(command);
  }

  tell(to: ActorId, event: ActorEvent): Promise<void> {
    return this.router.tell(to, event);
  }

  async drain(): Promise<void> {
    await this.shards.close(this.shards.all());
    for (const shard of this.shards.all()) this.shards.drop(shard);
    this.effects.stop();
    this.activations.passivation.stop();
  }

  figures(): HostFigures {
    return figuresOf(this, this.activations, this.shards.size);
  }
}

/** @throws PhotonError bug `chart_refused` when a kind of the registry cannot be hosted. */
export function createHost(options: HostOptions): Host {
  return new ActorHost(options);
}
