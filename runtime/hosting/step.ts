/**
 * One step of one actor: everything that waits in its mailbox becomes one commit. Called by activation-table.ts, once
 * per turn of the event loop for each actor that has inputs.
 *
 *   activation-table.ts  loads the actor from the store into an activation (activation.ts)
 *   input-check.ts       answers what must not reach the chart: duplicates, gaps, stale results, malformed messages
 *   decide.ts            asks the chart: a pure function of snapshot and event
 *   split.ts             reads the requests of the decision: messages, rows, effects, answers
 *   commit-staging.ts    writes the step into the commit (commit-builder.ts) and moves the `ahead` state on
 *   gate.ts              once the commit is durable: answers, sends, arms timers, performs effects
 *
 * Nothing leaves before the commit is durable (G4), and the commit carries the proof of ownership (G1). The next step
 * may run while a commit is in flight; what it produces waits behind that commit. An input on which the chart throws is
 * parked and the actor quarantined, at the first throw (G8). G1 to G12 are the promises of docs/promises.md.
 */
import { PhotonError } from '../contract/errors.ts';
import type { Commit } from '../contract/journal.ts';
import { dryRunOf, verbOf } from '../contract/supervision.ts';
import type { Activation } from './activation.ts';
import { notAccepted, refuseCommand } from './command-answers.ts';
import { commitOf } from './commit-builder.ts';
import { consider } from './consider.ts';
import { stateNameOf } from './decide.ts';
import { CommitBuilder, stageInput, stageDeadLetter, stageNote, stageReply } from './commit-builder.ts';
import { stageUpgrade } from './commit-staging.ts';
import { stageStep, refusal } from './commit-staging.ts';
import type { DecidedStep } from './commit-staging.ts';
import { answerDryRun } from './dry-run.ts';
import { openGate } from './gate.ts';
import { endHold } from './holding.ts';
import { checkInput } from './input-check.ts';
import { causeOf, eventOf } from './mailbox.ts';
import type { Verdict } from './input-check.ts';
import type { Input } from './mailbox.ts';
import { pruneWatermarks, reviewWatermarks } from './watermark-pruning.ts';
import { applyVerb } from './operator-verbs.ts';
import { consume, park } from './holding.ts';
import type { StepContext } from './step-context.ts';

/**
 * Takes what waits for the actor and commits it. Never throws. @returns false when the first input waits for a read.
 */
export function step(host: StepContext, actor: Activation): boolean {
  const builder = new CommitBuilder(actor, host.nextNumber());
  let waits = false;
  const most = actor.careful ? 1 : host.limits.eventsPerCommit;
  for (let taken = 0; taken < most && !builder.closed; taken += 1) {
    const input = actor.mailbox.peek();
    if (input === undefined) break;
    const verdict = check(host, builder, input);
    waits = verdict === 'wait';
    if (waits) break;
    if (verdict === 'again') continue;
    actor.mailbox.shift();
    if (verdict === 'decide') take(host, builder, input);
    actor.reads.rows = 'unread';
  }
  if (builder.due || actor.reads.prunable.length > 0) commit(host, builder);
  reviewWatermarks(host, actor);
  return !waits;
}

function check(host: StepContext, builder: CommitBuilder, input: Input): Verdict {
  try {
    return checkInput(host, builder, input);
  } catch (failure) {
    park(host, builder, input, failure);
    return 'settled';
  }
}

function take(host: StepContext, builder: CommitBuilder, input: Input): void {
  const { actor } = builder;
  if (input.kind === 'command') {
    const { event } = input.open.command;
    if (dryRunOf(event) !== undefined) return answerDryRun(host, builder, input);
    const verb = verbOf(event);
    if (verb !== undefined) return applyVerb(host, builder, input, verb);
  }
  // The hold ends in the same commit that has the dead letter in its history.
  if (input.kind === 'deadLetter') endHold(builder);
  if (actor.poison?.cause === causeOf(input)) return park(host, builder, input, actor.poison.failure);
  let decided: DecidedStep | undefined;
  try {
    decided = consider(host, actor, input);
  } catch (failure) {
    // A chart is a pure function: asked again it would throw again.
    return park(host, builder, input, failure);
  }
  if (decided === undefined) stageUnhandled(host, builder, input);
  else if (decided.born && refusal(decided)) answerUnborn(host, builder, decided);
  else stageStep(builder, decided);
}

/** The chart refuses to create the actor: nothing is stored, for there is no record that could keep a receipt. */
function answerUnborn(host: StepContext, builder: CommitBuilder, decided: DecidedStep): void {
  const error = decided.split.answers.find((answer) => answer.error !== undefined)?.error;
  if (decided.input.kind !== 'command' || error === undefined) return;
  refuseCommand(host, builder, decided.input.open, error);
}

function stageUnhandled(host: StepContext, builder: CommitBuilder, input: Input): void {
  const { actor } = builder;
  const at = host.clock.sharedMs();
  const event = eventOf(input);
  const quiet = actor.kind?.ignored.has(event.type) === true;
  if (input.kind === 'command') {
    const { commandId, digest } = input.open.command;
    const where = actor.ahead.snapshot === undefined ? 'absent' : stateNameOf(actor.ahead.snapshot.value);
    const error = notAccepted(actor.id, where, event.type);
    if (actor.ahead.snapshot === undefined) return refuseCommand(host, builder, input.open, error);
    stageInput(builder, input);
    stageReply(builder, commandId, digest, { ok: false, version: actor.ahead.version, error });
    return stageNote(builder, input, { kind: 'rejected', event, at });
  }
  // A dead letter stays in the store, at its place, while there is no actor that takes it.
  if (input.kind === 'deadLetter' && actor.ahead.snapshot === undefined) return undefined;
  stageInput(builder, input);
  if (input.kind === 'message' && actor.ahead.snapshot === undefined) {
    // Late messages to an actor that was removed are normal.
    if (actor.ahead.formerUid === '')
      stageDeadLetter(builder, input, { deadLetterId: host.random.ulid(at), event, reason: 'not_accepted', at });
    return stageNote(builder, input, { kind: 'dropped', event, at });
  }
  consume(builder, input);
  if (!quiet) stageNote(builder, input, { kind: 'ignored', event, at });
  return undefined;
}

function commit(host: StepContext, builder: CommitBuilder): void {
  const { actor } = builder;
  builder.ackedSeqs = host.outbox.takeAcknowledged(actor.id);
  pruneWatermarks(builder);
  if (actor.ahead.upgraded !== undefined) stageUpgrade(builder, actor.ahead.upgraded, host.clock.sharedMs());
  actor.inFlight.push(builder);
  let form: Commit;
  try {
    form = commitOf(builder, host.nextCommitId(), host.journal.durability.default);
  } catch (failure) {
    host.lost(builder, new PhotonError('bug', 'commit_malformed', `${actor.id} cannot be written`, { cause: failure }));
    return;
  }
  builder.seal(form);
  host.journal.commit(form).then(
    (outcome) => openGate(host, builder, outcome),
    (failure: unknown) => host.lost(builder, failure),
  );
}
