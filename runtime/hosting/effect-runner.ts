/**
 * Performs effects whose commit is durable, and brings their outcomes back as inputs. Whether an effect is due is
 * decided elsewhere: by the gate, and when an actor is loaded. An effect that ends after its state was left is still
 * reported if it was done, so that the history can record the result as dropped (G7). Effects with a deadline share
 * places, by pool and fairly between scopes (effect-places.ts); effects without one (watches) need no place, and one
 * that only waits gives its place back meanwhile. An effect of an actor that is pinned to another node is answered
 * `host_gone` instead of being performed: this node has that shard only because the other one was fenced
 * (docs/decisions/0012-surrogate-owner.md).
 */
import type { Clock } from '../contract/clock.ts';
import type { EffectBinding, EffectContext, EffectRequest } from '../contract/effect.ts';
import { describeCause, PhotonError } from '../contract/errors.ts';
import { partsOf, type ActorId } from '../contract/identifiers.ts';
import type { EffectOutcome } from '../contract/outcome.ts';
import type { Activation } from './activation.ts';
import { EffectPlaces } from './effect-places.ts';
import type { OutcomeInput } from './mailbox.ts';

interface Run {
  readonly actor: Activation;
  readonly request: EffectRequest;
  readonly binding: EffectBinding;
  readonly abort: AbortController;
  readonly recovered: boolean;
  /** Who it takes turns with. */
  readonly scope: string;
  /** Where it needs a place; undefined for a watch. */
  readonly places: EffectPlaces | undefined;
  /** Holds one of the bounded places. */
  placed: boolean;
  /** Ends its wait for a place. */
  withdraw: () => void;
  ended: boolean;
}

const nothing = (): void => {};

/**
 * Fence versions come from the id, so that an effect performed again after recovery carries the version that asked
 * for it.
 */
function versionOf(effectId: string): number {
  const tail = effectId.slice(effectId.lastIndexOf('#') + 1);
  return Number(tail.slice(0, tail.indexOf('.')));
}

function outcomeOf(failure: unknown, request: EffectRequest, actor: Activation): EffectOutcome {
  if (failure instanceof PhotonError) {
    const { record } = failure;
    return record.group === 'unknown' ? { result: 'unknown', error: record } : { result: 'failed', error: record };
  }
  const text = `${request.type} of ${actor.id} failed: ${describeCause(failure)}`;
  return {
    result: 'failed',
    error: new PhotonError('fault', 'effect_failed', text, { cause: failure, actor: actor.id }).record,
  };
}

/** The node that alone could perform the effect was fenced: nothing of it runs there any more. */
function goneOutcome(host: string, { type }: EffectRequest, actor: Activation): EffectOutcome {
  const text = `${type} of ${actor.id} was not performed: the host ${host} is gone; use another one, or bring it back.`;
  return { result: 'failed', error: new PhotonError('defeat', 'host_gone', text, { actor: actor.id }).record };
}

/** @throws PhotonError bug `outcome_malformed` when it is not an outcome, or its payload is not what the kind takes. */
function checked(outcome: EffectOutcome | undefined, { type }: EffectRequest, actor: Activation): EffectOutcome {
  switch (outcome?.result) {
    case 'failed':
    case 'unknown':
      return outcome;
    case 'done': {
      const problem = actor.kind?.definition.checkOutcome?.(type, outcome.payload);
      if (problem === undefined) return outcome;
      throw malformedOutcome(actor, `returned a malformed result for ${type}: ${problem}`);
    }
    case undefined:
    default:
      throw malformedOutcome(actor, `returned no outcome for ${type}`);
  }
}

const malformedOutcome = ({ id }: Activation, what: string): PhotonError =>
  new PhotonError('bug', 'outcome_malformed', `a performer ${what}. Correct the performer.`, { actor: id });

export interface EffectRunnerOptions {
  readonly clock: Clock;
  /** Name of this node. */
  readonly node: string;
  /** How many effects with a deadline run at once: those of a pool, or with `undefined` those of none. */
  readonly placesOf: (pool: string | undefined) => number;
  readonly report: (actor: Activation, input: OutcomeInput) => void;
}

export interface PoolFigures {
  /** `''`: the places of all effects that name no pool. */
  readonly pool: string;
  readonly places: number;
  /** Effects that hold a place. */
  readonly placed: number;
  /** Effects that wait for a place, and the most of them that are of one scope. */
  readonly waiting: number;
  readonly longestWait: number;
}

export class EffectRunner {
  private readonly runs = new Map<string, Run>();
  private readonly pools = new Map<string | undefined, EffectPlaces>();
  private readonly deadlines = new Map<Run, () => void>();
  private readonly clock: Clock;
  private readonly node: string;
  private readonly placesOf: (pool: string | undefined) => number;
  private readonly report: (actor: Activation, input: OutcomeInput) => void;

  constructor({ clock, node, placesOf, report }: EffectRunnerOptions) {
    this.clock = clock;
    this.node = node;
    this.placesOf = placesOf;
    this.report = report;
  }

  get size(): number {
    return this.runs.size;
  }

  /** What runs and what waits, pool by pool. */
  figures(): readonly PoolFigures[] {
    return [...this.pools].map(([pool = '', places]) => ({
      pool,
      places: places.size,
      placed: places.taken,
      waiting: places.waiting,
      longestWait: places.longestWait,
    }));
  }

  /** Whether at least so many effects of the actor's scope wait for a place. */
  isCrowdedFor(id: ActorId, limit: number): boolean {
    let waiting = 0;
    for (const places of this.pools.values()) waiting += places.waiting;
    if (waiting < limit) return false;
    const { scope } = partsOf(id);
    let ofScope = 0;
    for (const places of this.pools.values()) ofScope += places.waitingOf(scope);
    return ofScope >= limit;
  }

  start(actor: Activation, request: EffectRequest, recovered: boolean): void {
    if (this.runs.has(request.effectId)) return;
    const { effectId, type } = request;
    const { host = this.node, scope } = partsOf(actor.id);
    if (host !== this.node) {
      this.report(actor, { kind: 'effect', effectId, type, outcome: goneOutcome(host, request, actor) });
      return;
    }
    const binding = actor.kind?.definition.effects[type];
    if (binding === undefined) {
      const text = `nothing on this node performs ${type}, asked for by ${actor.id}. Install its program.`;
      const { record } = new PhotonError('defeat', 'effect_unbound', text, { actor: actor.id });
      this.report(actor, { kind: 'effect', effectId, type, outcome: { result: 'failed', error: record } });
      return;
    }
    const abort = new AbortController();
    const places = binding.timeoutMs === null ? undefined : this.poolOf(binding.pool);
    const state = { placed: false, withdraw: nothing, ended: false };
    const run: Run = { actor, request, binding, abort, recovered, scope, places, ...state };
    this.runs.set(effectId, run);
    this.enter(run, () => void this.perform(run));
  }

  /** The asking state was left, or the result was taken. */
  cancel(effectId: string): void {
    const run = this.runs.get(effectId);
    if (run === undefined) return;
    this.runs.delete(effectId);
    run.abort.abort();
    run.withdraw();
  }

  /** The activation is dropped: its effects are cancelled and their outcomes ignored. */
  cancelAll(actor: Activation): void {
    for (const { effectId } of actor.committed.effects) this.drop(effectId, actor);
  }

  /** The host ends: all effects are aborted, and not waited for, even if they ignore their signal. */
  stop(): void {
    for (const run of this.runs.values()) {
      run.abort.abort();
      run.withdraw();
    }
    this.runs.clear();
    for (const [run, cancelDeadline] of this.deadlines) {
      run.ended = true;
      cancelDeadline();
    }
    this.deadlines.clear();
  }

  private drop(effectId: string, actor: Activation): void {
    const run = this.runs.get(effectId);
    if (run === undefined || run.actor !== actor) return;
    run.ended = true;
    this.deadlines.get(run)?.();
    this.deadlines.delete(run);
    this.cancel(effectId);
    this.leave(run);
  }

  private poolOf(name: string | undefined): EffectPlaces {
    const known = this.pools.get(name);
    if (known !== undefined) return known;
    const places = new EffectPlaces(this.placesOf(name));
    this.pools.set(name, places);
    return places;
  }

  /** Calls `begin` once the effect has a place. @param first it has had one before */
  private enter(run: Run, begin: () => void, first = false): void {
    const { places, scope } = run;
    if (places === undefined) return begin();
    let granted = false;
    const withdraw = places.claim(
      scope,
      () => {
        granted = true;
        run.withdraw = nothing;
        run.placed = true;
        begin();
      },
      first,
    );
    if (!granted) run.withdraw = withdraw;
  }

  private leave(run: Run): void {
    if (!run.placed) return;
    run.placed = false;
    run.places?.release(run.scope);
  }

  private async waitOutside<Result>(run: Run, wait: () => Promise<Result>): Promise<Result> {
    if (!run.placed) return wait();
    this.leave(run);
    try {
      return await wait();
    } finally {
      await this.comeBack(run);
    }
  }

  /** An effect that was cancelled, or whose time is up, gets no place again: it has only to end. */
  private comeBack(run: Run): Promise<void> {
    if (run.ended || run.abort.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.enter(run, resolve, true);
      const { withdraw } = run;
      run.withdraw = () => {
        withdraw();
        resolve();
      };
    });
  }

  private async perform(run: Run): Promise<void> {
    const { binding, request, actor } = run;
    if (binding.timeoutMs !== null)
      this.deadlines.set(
        run,
        this.clock.after(binding.timeoutMs, () => this.expire(run)),
      );
    try {
      this.end(run, checked(await binding.perform(request.params as never, this.contextOf(run)), request, actor));
    } catch (failure) {
      this.end(run, outcomeOf(failure, request, actor));
    }
  }

  private expire(run: Run): void {
    const { request, actor, binding } = run;
    const text = `${request.type} of ${actor.id} gave no answer in ${binding.timeoutMs} ms; it may have happened.`;
    const { record } = new PhotonError('unknown', 'effect_timeout', text, { actor: actor.id });
    this.end(run, { result: 'unknown', error: record });
    run.abort.abort();
    run.withdraw();
  }

  private end(run: Run, outcome: EffectOutcome): void {
    if (run.ended) return;
    run.ended = true;
    this.deadlines.get(run)?.();
    this.deadlines.delete(run);
    const { effectId, type } = run.request;
    const cancelled = this.runs.get(effectId) !== run;
    if (!cancelled) this.runs.delete(effectId);
    this.leave(run);
    // It was cancelled and has changed nothing: there is nothing to report.
    if (cancelled && outcome.result !== 'done') return;
    this.report(run.actor, { kind: 'effect', effectId, type, outcome });
  }

  private contextOf(run: Run): EffectContext {
    const { actor, request, abort, recovered } = run;
    const { era, ownerEpoch } = actor.grant;
    return {
      effectId: request.effectId,
      actor: actor.id,
      uid: actor.ahead.uid,
      fence: { era, ownerEpoch, version: versionOf(request.effectId) },
      signal: abort.signal,
      recovered,
      withoutPlace: (wait) => this.waitOutside(run, wait),
    };
  }
}
