/**
 * Asks the chart of an actor what it makes of an input, without touching the actor: the same for a step that will be
 * committed and for a dry run. Called by step.ts and dry-run.ts.
 */
import { PhotonError } from '../contract/errors.ts';
import type { ActorEvent, EventMeta } from '../contract/envelope.ts';
import type { DeadLetter } from '../contract/supervision.ts';
import type { Activation } from './activation.ts';
import type { DecidedStep } from './commit-staging.ts';
import { decide, decideInitial } from './decide.ts';
import { eventOf } from './mailbox.ts';
import type { Input } from './mailbox.ts';
import { split } from './split.ts';
import type { StepContext } from './step-context.ts';

/** What the chart makes of an input, without touching the actor. @returns undefined when no transition handles it. */
export function consider(host: StepContext, actor: Activation, input: Input): DecidedStep | undefined {
  const { kind } = actor;
  if (kind === undefined) throw new PhotonError('bug', 'kind_unknown', `no kind is registered for ${actor.id}`);
  const at = host.clock.sharedMs();
  const event = eventOf(input);
  const meta = metaOf(host, actor, input, at);
  const armedMs = host.clock.sharedAtMostMs();
  const seen: ActorEvent = { ...event, meta };
  if (actor.ahead.snapshot !== undefined) {
    const decision = decide(kind.machine, actor.ahead.snapshot, seen);
    if (decision.taken.length === 0) return undefined;
    return { input, event, meta, decision, split: split(kind, decision.actions), born: false, armedMs };
  }
  const birth = decideInitial(kind.machine, kind.definition.input(actor.id));
  const first = decide(kind.machine, birth.snapshot, seen);
  if (first.taken.length === 0) return undefined;
  const decision = {
    ...first,
    actions: [...birth.actions, ...first.actions],
    timers: [...birth.timers, ...first.timers],
    taken: [...birth.taken, ...first.taken],
  };
  return { input, event, meta, decision, split: split(kind, decision.actions), born: true, armedMs };
}

function metaOf(host: StepContext, actor: Activation, input: Input, at: number): EventMeta {
  const ulid = host.random.ulid(at);
  const { rows } = actor.reads;
  const known = { at, ulid, era: actor.grant.era, ...(typeof rows === 'object' && 'rows' in rows ? rows : {}) };
  if (input.kind === 'message') return { ...known, from: input.message.from };
  if (input.kind === 'effect') return { ...known, effectId: input.effectId };
  if (input.kind === 'timer') return known;
  if (input.kind === 'deadLetter') return deadLetterMeta(known, input.deadLetter);
  const { commandId, principal } = input.open.command;
  return { ...known, commandId, principal };
}

function deadLetterMeta(known: EventMeta, { from, cause }: DeadLetter): EventMeta {
  if (from !== undefined) return { ...known, from };
  return cause.startsWith('effect:') ? { ...known, effectId: cause.slice('effect:'.length) } : known;
}
