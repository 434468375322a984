/**
 * Performs effects whose commit is durable, and brings their outcomes back as inputs. Whether an effect is due is
 * decided elsewhere: by the gate, and when an actor is loaded. An effect that ends after its state was left is still
 * reported if it was done, so that the history can record the result as dropped (G7). Effects with a deadline share a
 * bounded number of places; effects without one (watches) are not counted. An effect of an actor that is pinned to
 * another node is answered `host_gone` instead of being performed: this node has that shard only because the other one
 * was fenced (docs/decisions/0012-surrogate-owner.md).
 */
import type { Clock } from '../contract/clock.ts';
import type { EffectBinding, EffectContext, EffectRequest } from '../contract/effect.ts';
import { describeCause, PhotonError } from '../contract/errors.ts';
import { partsOf } from '../contract/identifiers.ts';
import type { EffectOutcome } from '../contract/outcome.ts';
import type { Activation } from './activation.ts';
import type { OutcomeInput } from './mailbox.ts';

interface Run {
  readonly actor: Activation;
  readonly request: EffectRequest;
  readonly binding: EffectBinding;
  readonly abort: AbortController;
  readonly recovered: boolean;
  /** Holds one of the bounded places. */
  placed: boolean;
  ended: boolean;
}

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
  /** How many effects with a deadline run at once. */
  readonly places: number;
  readonly report: (actor: Activation, input: OutcomeInput) => void;
}

export class EffectRunner {
  private readonly runs = new Map<string, Run>();
  private readonly queue: Run[] = [];
  private readonly deadlines = new Map<Run, () => void>();
  private readonly clock: Clock;
  private readonly node: string;
  private readonly places: number;
  private readonly report: (actor: Activation, input: OutcomeInput) => void;
  private placesTaken = 0;

  constructor({ clock, node, places, report }: EffectRunnerOptions) {
    this.clock = clock;
    this.node = node;
    this.places = places;
    this.report = report;
  }

  get size(): number {
    return this.runs.size;
  }

  /** Effects that hold a place. */
  get placed(): number {
    return this.placesTaken;
  }

  /** Effects that wait for a place. */
  get waiting(): number {
    return this.queue.length;
  }

  start(actor: Activation, request: EffectRequest, recovered: boolean): void {
    if (this.runs.has(request.effectId)) return;
    const { effectId, type } = request;
    const { host = this.node } = partsOf(actor.id);
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
    const run: Run = { actor, request, binding, abort, recovered, placed: false, ended: false };
    this.runs.set(effectId, run);
    if (binding.timeoutMs === null) void this.perform(run);
    else {
      this.queue.push(run);
      this.fill();
    }
  }

  /** The asking state was left, or the result was taken. */
  cancel(effectId: string): void {
    const run = this.runs.get(effectId);
    if (run === undefined) return;
    this.runs.delete(effectId);
    run.abort.abort();
  }

  /** The activation is dropped: its effects are cancelled and their outcomes ignored. */
  cancelAll(actor: Activation): void {
    for (const { effectId } of actor.committed.effects) this.drop(effectId, actor);
  }

  /** The host ends: all effects are aborted, and not waited for, even if they ignore their signal. */
  stop(): void {
    for (const run of this.runs.values()) run.abort.abort();
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

  private fill(): void {
    while (this.placesTaken < this.places) {
      const run = this.queue.shift();
      if (run === undefined) return;
      if (run.abort.signal.aborted) continue;
      run.placed = true;
      this.placesTaken += 1;
      void this.perform(run);
    }
  }

  private leave(run: Run): void {
    if (!run.placed) return;
    run.placed = false;
    this.placesTaken -= 1;
    this.fill();
  }

  private async perform(run: Run): Promise<void> {
    const { binding, request, actor } = run;
    if (binding.timeoutMs !== null)
      this.deadlines.set(
        run,
        this.clock.after(binding.timeoutMs, () => this.expire(run)),
      );
    try {
      this.end(run, checked(await binding.perform(request.params as never, contextOf(run)), request, actor));
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
}

function contextOf(run: Run): EffectContext {
  const { actor, request, abort, recovered } = run;
  const { era, ownerEpoch } = actor.grant;
  return {
    effectId: request.effectId,
    actor: actor.id,
    uid: actor.ahead.uid,
    fence: { era, ownerEpoch, version: versionOf(request.effectId) },
    signal: abort.signal,
    recovered,
  };
}
