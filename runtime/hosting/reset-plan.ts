/**
 * Puts an actor into a state of an operator's choice. The chart is asked as if it had a transition from its root to
 * that state, so exit and entry actions, timers and effects come out exactly as the chart defines them. Nothing is
 * committed here: a dry run returns the plan, the real reset commits the same decision. Called by operator-verbs.ts.
 *
 * Rejected: writing the state value alone. The actor would be in a state whose entry effects were never requested and
 * whose deadline was never set.
 */
import type { AnyStateMachine } from 'xstate';
import { reject } from '../contract/errors.ts';
import type { ActorEvent } from '../contract/envelope.ts';
import type { Activation } from './activation.ts';
import { decide, restore } from './decide.ts';
import { pendingChangesOf } from './commit-staging.ts';
import type { Context, DecidedStep } from './commit-staging.ts';
import type { CommandInput } from './mailbox.ts';
import { split } from './split.ts';
import type { Answer } from './split.ts';
import type { StepContext } from './step-context.ts';

const resetType = 'actor.reset';

type Machine = new (config: object, implementations: object) => AnyStateMachine;
interface StateConfig {
  readonly states?: Readonly<Record<string, StateConfig>>;
}

/** @throws PhotonError rejection `params_invalid`, or whatever the chart throws on the way. */
export function resetStep(host: StepContext, actor: Activation, input: CommandInput): DecidedStep {
  const { command } = input.open;
  const { kind } = actor;
  const { snapshot } = actor.ahead;
  if (kind === undefined || snapshot === undefined) throw reject('not_found', `${actor.id} does not exist.`);
  const { to, patch = {} } = command.event;
  const { machine } = kind;
  const targets = targetsOf(machine, actor.id, to);
  const context = patched(actor, snapshot.context as Readonly<Record<string, unknown>>, patch);
  const at = host.clock.sharedMs();
  const { commandId, principal } = command;
  const meta = { at, ulid: host.random.ulid(at), era: actor.grant.era, commandId, principal };
  const variant = resettable(machine, targets);
  const event: ActorEvent = { ...command.event, type: resetType, principal };
  const decision = decide(variant, restore(variant, snapshot.value, context), { ...event, meta });
  const { value } = decision.snapshot;
  const decided = { ...decision, snapshot: restore(machine, value, decision.snapshot.context) };
  const asked = split(kind, decision.actions);
  const step = {
    input,
    event,
    meta,
    decision: decided,
    split: { ...asked, defer: false },
    born: false,
    armedMs: host.clock.sharedAtMostMs(),
  };
  // The operator's answer is the plan; answers of the chart to other commands are given as usual.
  const answers = [...asked.answers.filter((answer) => answer.commandId !== undefined), own(planOf(actor, step))];
  return { ...step, split: { ...step.split, answers } };
}

const own = (plan: unknown): Answer => ({ commandId: undefined, result: plan, error: undefined });

/** The same chart with one more transition on its root. */
function resettable(machine: AnyStateMachine, targets: readonly string[]): AnyStateMachine {
  const { config, implementations } = machine;
  const on = { ...(config.on as object | undefined), [resetType]: { target: targets } };
  const variant = new (machine.constructor as Machine)({ ...config, id: machine.id, on }, implementations);
  const { maxIterations } = machine.options;
  if (maxIterations !== undefined) variant.options.maxIterations = maxIterations;
  return variant;
}

/** `preparing.tap`, or one state per region of a parallel chart: `disk.ready,net.wired`. */
function targetsOf(machine: AnyStateMachine, id: string, to: unknown): readonly string[] {
  const paths = typeof to === 'string' ? to.split(',') : [];
  for (const path of paths) {
    let at: StateConfig | undefined = machine.config as StateConfig;
    for (const key of path.split('.')) at = at?.states?.[key];
    if (at === undefined) throw invalid(id, 'to', `the chart has no state ${path}`);
  }
  if (paths.length === 0) throw invalid(id, 'to', 'must name a state');
  return paths.map((path) => `.${path}`);
}

function patched(
  actor: Activation,
  context: Readonly<Record<string, unknown>>,
  patch: unknown,
): Readonly<Record<string, unknown>> {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch))
    throw invalid(actor.id, 'patch', 'must be an object');
  for (const key of Object.keys(patch)) {
    if (!Object.hasOwn(context, key)) throw invalid(actor.id, `patch.${key}`, 'the context has no such field');
  }
  return { ...context, ...patch };
}

function invalid(id: string, path: string, message: string): Error {
  return reject('params_invalid', `${id} cannot be reset: ${path}: ${message}.`, [{ path, message }]);
}

/** What a step does, in words of the history; the actor is as it was before. Also the answer to a dry run. */
export function planOf(actor: Activation, step: DecidedStep): Readonly<Record<string, unknown>> {
  const { decision, split: asked } = step;
  const before = actor.ahead.snapshot;
  const context = decision.snapshot.context as Context;
  const contextBefore = before?.context as Context | undefined;
  const { effectsStarted, effectsEnded, timersSet, timersEnded } = pendingChangesOf(actor, before, step);
  return {
    from: (before?.value as unknown) ?? null,
    to: decision.snapshot.value as unknown,
    removes: decision.done,
    effectsStarted: effectsStarted.map(({ type }) => type),
    effectsCancelled: effectsEnded.map(({ type }) => type),
    timersSet: timersSet.map(({ timerId }) => timerId),
    timersCancelled: timersEnded.map(({ timerId }) => timerId),
    messages: asked.messages.map(({ to, event }) => ({ to, type: event.type })),
    rows: asked.rows.map(({ collection, key }) => `${collection}/${key}`),
    changed: Object.keys(context).filter((key) => context[key] !== contextBefore?.[key]),
  };
}
