/**
 * Whether an input may reach the chart. Duplicates, gaps, messages to actors that do not exist, malformed messages and
 * stale results are answered here; rows and receipts that the step needs are requested from the store. The chart is not
 * asked. Called by step.ts for the first input of a mailbox; the verdict `wait` leaves the input there until what was
 * requested has arrived. Upholds G2 and G5: a message passes once and in order, a command once per id.
 */
import type { RowKey } from '../contract/actor-definition.ts';
import type { ActorEvent, Command } from '../contract/envelope.ts';
import { isForGood, PhotonError } from '../contract/errors.ts';
import type { Receipt } from '../contract/journal.ts';
import { dryRunOf, verbOf } from '../contract/supervision.ts';
import type { Activation } from './activation.ts';
import { carrierOf, conflict, conflicting, refuseCommand, settleCommand } from './command-answers.ts';
import { decideInitial } from './decide.ts';
import { dryRunFailed, triedInput } from './dry-run.ts';
import { stageInput, stageDeadLetter, stageNote } from './commit-builder.ts';
import type { CommitBuilder } from './commit-builder.ts';
import { busyWhileHeldMs, heldError } from './holding.ts';
import { checkDoubtful } from './watermark-pruning.ts';
import { eventOf } from './mailbox.ts';
import type { CommandInput, Input, DeadLetterInput, MessageInput, OpenCommand, TimerInput } from './mailbox.ts';
import type { RegisteredKind } from './registration.ts';
import { rejection } from './split.ts';
import type { StepContext } from './step-context.ts';
import { checkVerb } from './operator-verbs.ts';

/** `again`: other inputs were put before this one and come first. */
export type Verdict = 'wait' | 'settled' | 'decide' | 'again';

/** The principal of commands that the host itself sends; no client can have it. */
export const systemPrincipal = 'system';

/** @throws whatever the definition's `needs` throws, and rows that cannot be read; the caller parks the input. */
export function checkInput(host: StepContext, builder: CommitBuilder, input: Input): Verdict {
  switch (input.kind) {
    case 'message':
      return checkMessage(host, builder, input);
    case 'command':
      return checkCommand(host, builder, input);
    case 'timer':
      return checkTimer(host, builder.actor, input);
    case 'effect': {
      // Performed again when the hold ends.
      if (builder.actor.ahead.hold !== undefined) return 'settled';
      if (builder.actor.ahead.effects.some((effect) => effect.effectId === input.effectId))
        return checkRows(host, builder.actor, input);
      // The effect was done for a state that has been left, which is recorded; a failure has changed nothing.
      if (builder.actor.ahead.snapshot !== undefined && input.outcome.result === 'done') {
        stageInput(builder, input);
        stageNote(builder, input, { kind: 'dropped', event: eventOf(input), at: host.clock.sharedMs() });
      }
      return 'settled';
    }
    case 'deadLetter':
      return checkDeadLetter(host, builder, input);
  }
}

/** A timer input counts if that very timer is still pending; that it is due was decided by timer-queue.ts. */
function checkTimer(host: StepContext, actor: Activation, input: TimerInput): Verdict {
  const timer = actor.ahead.timers.find(({ timerId, dueMs }) => timerId === input.timerId && dueMs === input.dueMs);
  if (timer === undefined || actor.ahead.hold !== undefined) return 'settled';
  return checkRows(host, actor, input);
}

/** A dead letter that still cannot be taken stays in the store, at its place. */
function checkDeadLetter(host: StepContext, { actor }: CommitBuilder, input: DeadLetterInput): Verdict {
  const { place, event, from } = input.deadLetter;
  if (actor.ahead.hold !== input.frees && actor.ahead.hold !== undefined) return 'settled';
  if (actor.deadLettersTaken.has(place)) return 'settled';
  if (actor.ahead.snapshot === undefined && actor.kind?.startedByMessage.has(event.type) !== true) return 'settled';
  // Only messages have a sender; results of effects were checked before they became inputs.
  if (from !== undefined && actor.kind?.definition.check?.(event) !== undefined) return 'settled';
  return checkRows(host, actor, input);
}

function checkMessage(host: StepContext, builder: CommitBuilder, input: MessageInput): Verdict {
  const { actor } = builder;
  const { message } = input;
  const watermark = actor.ahead.watermarks.get(input.sender) ?? 0;
  if (watermark === 0 && message.senderUid <= actor.ahead.prunedUid) {
    const verdict = checkDoubtful(host, actor, input);
    if (verdict !== undefined) return verdict;
  }
  if (message.seq <= watermark) {
    const carrier = carrierOf(builder);
    if (carrier === undefined) input.settle({ result: 'applied' });
    else carrier.inputs.push(input);
    return 'settled';
  }
  if (message.after > watermark) {
    input.settle({ result: 'gap' });
    return 'settled';
  }
  if (actor.ahead.hold !== undefined) {
    input.settle({ result: 'busy', retryAfterMs: busyWhileHeldMs });
    return 'settled';
  }
  const reason = undeliverable(actor, message.event);
  if (reason === undefined) return checkRows(host, actor, input);
  stageInput(builder, input);
  const at = host.clock.sharedMs();
  const isLate = reason === 'no_such_actor' && actor.ahead.formerUid !== '';
  if (!isLate)
    stageDeadLetter(builder, input, { deadLetterId: host.random.ulid(at), event: message.event, reason, at });
  stageNote(builder, input, { kind: 'dropped', event: message.event, at, asked: [isLate ? 'actor_removed' : reason] });
  return 'settled';
}

/**
 * Why a message cannot be decided; undefined when it can. It becomes a dead letter, except for a message to an actor
 * that was removed: answers that are under way when their receiver ends are normal, and nobody can use them later.
 */
function undeliverable({ kind, ahead: { snapshot } }: Activation, event: ActorEvent): string | undefined {
  if (kind === undefined) return 'unknown_kind';
  if (snapshot === undefined && !kind.startedByMessage.has(event.type)) return 'no_such_actor';
  const problem = kind.definition.check?.(event);
  return problem === undefined ? undefined : `malformed: ${problem}`;
}

function checkCommand(host: StepContext, builder: CommitBuilder, input: CommandInput): Verdict {
  const { actor } = builder;
  const { open } = input;
  const { command } = open;
  // A commit in flight answers it; the gate gives the answer when that commit is durable.
  if (open.reply !== undefined) return 'settled';
  if (dryRunOf(command.event) !== undefined) return checkDryRun(host, builder, input);
  const deferredDigest = actor.ahead.digestOfDeferred(command.commandId);
  if (deferredDigest !== undefined) {
    // The command is deferred: a caller that repeats it waits with the others.
    if (deferredDigest !== command.digest) refuseCommand(host, builder, open, conflicting(command.commandId));
    return 'settled';
  }
  if (
    !actor.reads.receiptsKnown &&
    (open.receipt === 'reading' || (open.receipt === 'unknown' && !mayTry(actor, command)))
  ) {
    if (open.receipt === 'unknown') readReceipt(host, actor, open);
    return 'wait';
  }
  if (typeof open.receipt !== 'string') {
    const { digest, reply } = open.receipt;
    const known = digest === command.digest ? reply : conflict(actor, command.commandId);
    settleCommand(actor, open, known);
    return 'settled';
  }
  const verb = verbOf(command.event);
  if (verb === undefined && actor.ahead.hold !== undefined) {
    refuseCommand(host, builder, open, heldError(actor.id, actor.ahead.hold));
    return 'settled';
  }
  if (isStale(host, builder, open)) return 'settled';
  if (verb !== undefined) return checkVerb(host, builder, input, verb);
  if (actor.ahead.snapshot === undefined && !mayStart(actor, command.event.type, command.principal)) {
    refuseAbsent(host, builder, open);
    return 'settled';
  }
  return checkRows(host, actor, input);
}

/** Refuses a command that names another version than the present one. */
function isStale(host: StepContext, builder: CommitBuilder, open: OpenCommand): boolean {
  const { ahead, id } = builder.actor;
  const { ifVersion } = open.command;
  if (ifVersion === undefined || ifVersion === ahead.version) return false;
  const text = `${id} is at version ${ahead.version}, not ${ifVersion}. Read it again and decide anew.`;
  refuseCommand(host, builder, open, rejection('version_conflict', text));
  return true;
}

/** A dry run has no receipt: asked again it is tried again. */
function checkDryRun(host: StepContext, builder: CommitBuilder, input: CommandInput): Verdict {
  const { actor } = builder;
  const tried = triedInput(input);
  const { event, principal } = tried.open.command;
  const { hold, snapshot } = actor.ahead;
  if (hold !== undefined) refuseCommand(host, builder, input.open, heldError(actor.id, hold));
  else if (isStale(host, builder, input.open)) return 'settled';
  else if (snapshot === undefined && !mayStart(actor, event.type, principal)) refuseAbsent(host, builder, input.open);
  else {
    try {
      return checkRows(host, actor, tried);
    } catch (failure) {
      refuseCommand(host, builder, input.open, dryRunFailed(actor, failure));
    }
  }
  return 'settled';
}

const refuseAbsent = (host: StepContext, builder: CommitBuilder, open: OpenCommand): void =>
  refuseCommand(host, builder, open, rejection('not_found', `${builder.actor.id} does not exist. Create it first.`));

/**
 * Whether a command may be decided without reading its receipt first: if there is one, the store refuses the commit.
 * That does not protect commands that lead to no commit. Nor is a refusal cheap: every step since then is discarded,
 * and effects are performed again.
 */
function mayTry(actor: Activation, { event, ifVersion }: Command): boolean {
  const isCommitted =
    actor.ahead.snapshot !== undefined && actor.ahead.hold === undefined && verbOf(event) === undefined;
  return isCommitted && !actor.reads.readsReceipts && (ifVersion === undefined || ifVersion === actor.ahead.version);
}

function mayStart(actor: Activation, type: string, principal: string): boolean {
  const { kind } = actor;
  if (kind === undefined) return false;
  return kind.startedByCommand.has(type) || (principal === systemPrincipal && kind.startedByMessage.has(type));
}

/** Whether the receipt of an arriving command is read at once: in parallel with the load that costs no time. */
export const readsReceipts = ({ reads, phase }: Activation): boolean =>
  !reads.receiptsKnown && (reads.readsReceipts || phase !== 'ready');

/**
 * Starts the read of a receipt; needed only while the activation does not know all receipts of the actor. The result
 * may be outdated when it arrives; the commit script makes the final check.
 */
export function readReceipt(host: StepContext, actor: Activation, open: OpenCommand): void {
  open.receipt = 'reading';
  const { commandId, durability = actor.kind?.durability } = open.command;
  host.journal.receipt(actor.id, commandId, durability).then(
    (receipt) => {
      // The next activation reads for itself: by then a commit whose outcome is unknown may have written it.
      if (actor.phase === 'dropped') return;
      // Unless the command was answered in the meantime, which this read does not show.
      if (open.receipt === 'reading')
        open.receipt = receipt === 'forgotten' ? forgottenReceipt(actor, open) : (receipt ?? 'absent');
      host.schedule(actor);
    },
    (failure: unknown) => {
      if (actor.phase === 'dropped') return;
      if (isForGood(failure)) {
        host.log.error({ actor: actor.id, commandId: open.command.commandId, failure }, 'a receipt cannot be read');
        open.receipt = unreadableReceipt(actor, open);
        return host.schedule(actor);
      }
      host.log.warn({ actor: actor.id, failure }, 'a receipt could not be read; trying again');
      if (open.receipt === 'reading') open.receipt = 'unknown';
      return void host.clock.after(host.limits.readAgainMs, () => host.schedule(actor));
    },
  );
}

/** The command is older than answers that were dropped: it may have been carried out, and must not be again. */
function forgottenReceipt(
  { id, ahead: { version } }: Activation,
  { command: { commandId, digest } }: OpenCommand,
): Receipt {
  const text =
    `${id} may have answered command ${commandId} before and no longer knows. It was not carried out now. ` +
    'Read the object; if the command is still needed, send it with a new key, which begins with the time or is a ULID.';
  const { record } = new PhotonError('unknown', 'command_too_old', text, { actor: id, public: true, retryable: false });
  return { commandId, digest, reply: { ok: false, version, error: record } };
}

/** The command was answered before, but the answer cannot be read: it must not be carried out again. */
function unreadableReceipt(
  { id, ahead: { version } }: Activation,
  { command: { commandId, digest } }: OpenCommand,
): Receipt {
  const text = `${id} has answered command ${commandId} before, but that answer cannot be read. Look at its history.`;
  const { record } = new PhotonError('unknown', 'receipt_unreadable', text, {
    actor: id,
    public: true,
    retryable: false,
  });
  return { commandId, digest, reply: { ok: false, version, error: record } };
}

/** For an actor that does not exist yet, the context it would be created with. */
const contextOf = (actor: Activation, { machine, definition }: RegisteredKind): never =>
  (actor.ahead.snapshot ?? decideInitial(machine, definition.input(actor.id)).snapshot).context as never;

/** What commits in flight have changed of a collection, newer than the store; undefined for a row they removed. */
function collectionAhead(actor: Activation, collection: string): Record<string, unknown> {
  const start = `${collection}/`;
  const changed: Record<string, unknown> = {};
  for (const [name, { value }] of actor.ahead.rows) {
    if (name.startsWith(start)) changed[name.slice(start.length)] = value;
  }
  return changed;
}

function merged(stored: unknown, changed: unknown): Record<string, unknown> {
  const all = { ...(stored as Record<string, unknown> | null), ...(changed as Record<string, unknown>) };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

function checkRows(host: StepContext, actor: Activation, input: Input): Verdict {
  const needs = actor.kind?.definition.needs;
  if (needs === undefined) return 'decide';
  const { reads } = actor;
  if (reads.rows === 'reading') return 'wait';
  if (reads.rows !== 'unread') {
    if ('rows' in reads.rows) return 'decide';
    const { failure } = reads.rows;
    reads.rows = 'unread';
    throw failure;
  }
  const rows: Record<string, unknown> = {};
  const missing: RowKey[] = [];
  for (const key of needs(eventOf(input), contextOf(actor, actor.kind as RegisteredKind))) {
    const name = `${key.collection}/${key.key}`;
    const ahead = actor.ahead.rows.get(name);
    if (ahead === undefined) missing.push(key);
    rows[name] = key.key === '*' ? collectionAhead(actor, key.collection) : (ahead?.value ?? null);
  }
  if (missing.length === 0) {
    reads.rows = { rows };
    return 'decide';
  }
  reads.rows = 'reading';
  host.journal.loadRows(actor.id, missing).then(
    (read) => {
      for (const { collection, key } of missing) {
        const name = `${collection}/${key}`;
        rows[name] = key === '*' ? merged(read[name], rows[name]) : (read[name] ?? null);
      }
      reads.rows = { rows };
      host.schedule(actor);
    },
    (failure: unknown) => {
      if (isForGood(failure)) {
        reads.rows = { failure };
        return host.schedule(actor);
      }
      host.log.warn({ actor: actor.id, failure }, 'rows could not be read; trying again');
      return void host.clock.after(host.limits.readAgainMs, () => {
        reads.rows = 'unread';
        host.schedule(actor);
      });
    },
  );
  return 'wait';
}
