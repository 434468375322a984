/**
 * What an operator's verb needs before it can be applied: an actor to apply it to, and for skip and redrive the actor's
 * dead letters. A redrive puts its dead letters before everything that waits and comes up again behind them: each dead
 * letter leaves the store in the very commit that applies it, so it is applied once, whatever is lost on the way (G2).
 * Called by input-check.ts; what the verbs do is operator-verbs.ts.
 */
import type { OperatorVerb, StoredDeadLetter } from '../contract/supervision.ts';
import type { Activation } from './activation.ts';
import { refuseCommand } from './command-answers.ts';
import type { CommitBuilder } from './commit-builder.ts';
import { heldError } from './holding.ts';
import type { CommandInput, OpenCommand } from './mailbox.ts';
import { rejection } from './split.ts';
import type { StepContext } from './step-context.ts';

/** DeadLetters of one redrive; whoever has more asks again. */
const redriveAtOnce = 256;

type VerbVerdict = 'wait' | 'settled' | 'decide' | 'again';

export function checkVerb(
  host: StepContext,
  builder: CommitBuilder,
  input: CommandInput,
  verb: OperatorVerb,
): VerbVerdict {
  const { actor } = builder;
  const { open } = input;
  const aboutDeadLetters = verb === 'skip' || verb === 'redrive';
  if (actor.version === 0 || (actor.snapshot === undefined && !aboutDeadLetters)) {
    refuseCommand(host, builder, open, rejection('not_found', `${actor.id} does not exist. Create it first.`));
    return 'settled';
  }
  if (!aboutDeadLetters) return 'decide';
  if (open.deadLetters === undefined) readDeadLetters(host, actor, open);
  if (open.deadLetters === 'reading' || open.deadLetters === undefined) return 'wait';
  if (verb === 'skip' || open.driven !== undefined) return 'decide';
  if (actor.hold?.kind === 'paused') {
    refuseCommand(host, builder, open, heldError(actor.id, actor.hold));
    return 'settled';
  }
  open.driven = deadLettersNamed(actor, open).slice(0, redriveAtOnce);
  if (open.driven.length === 0) return 'decide';
  const frees = actor.hold;
  actor.mailbox.unshift(open.driven.map((deadLetter) => ({ kind: 'deadLetter', deadLetter, frees })));
  return 'again';
}

/** Those the command names by id, or all of the actor; without what this activation has taken since they were read. */
export function deadLettersNamed(
  actor: Activation,
  { deadLetters, command }: OpenCommand,
): readonly StoredDeadLetter[] {
  if (deadLetters === undefined || deadLetters === 'reading') return [];
  const { deadLetters: named } = command.event;
  const wanted = Array.isArray(named) ? new Set<unknown>(named) : undefined;
  return deadLetters.filter(
    ({ deadLetterId, place }) =>
      !actor.deadLettersTaken.has(place) && (wanted === undefined || wanted.has(deadLetterId)),
  );
}

function readDeadLetters(host: StepContext, actor: Activation, open: OpenCommand): void {
  open.deadLetters = 'reading';
  host.journal.deadLetters(actor.id).then(
    (deadLetters) => {
      // As with receipts: the next activation reads for itself.
      if (actor.phase === 'dropped') return;
      if (open.deadLetters === 'reading') open.deadLetters = deadLetters;
      host.schedule(actor);
    },
    (failure: unknown) => {
      if (actor.phase === 'dropped') return;
      host.log.warn({ actor: actor.id, failure }, 'dead letters could not be read; trying again');
      host.clock.after(host.limits.readAgainMs, () => {
        if (open.deadLetters === 'reading') open.deadLetters = undefined;
        host.schedule(actor);
      });
    },
  );
}
