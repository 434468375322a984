/**
 * What an operator's verb needs before it can be applied: an actor to apply it to, and for skip and redrive the actor's
 * dead letters. A redrive puts its letters before everything that waits and comes up again behind them: each letter
 * leaves the store in the very commit that applies it, so it is applied once, whatever is lost on the way (G2).
 * Called by input-check.ts; what the verbs do is operator-verbs.ts.
 */
import type { OperatorVerb, StoredLetter } from '../contract/supervision.ts';
import type { Activation } from './activation.ts';
import { refuseCommand } from './command-answers.ts';
import type { Draft } from './draft.ts';
import { heldError } from './holding.ts';
import type { CommandInput, OpenCommand } from './mailbox.ts';
import { rejection } from './split.ts';
import type { Surroundings } from './surroundings.ts';

/** Letters of one redrive; whoever has more asks again. */
const redriveAtOnce = 256;

type VerbVerdict = 'wait' | 'settled' | 'decide' | 'again';

export function checkVerb(host: Surroundings, draft: Draft, input: CommandInput, verb: OperatorVerb): VerbVerdict {
  const { actor } = draft;
  const { open } = input;
  const aboutLetters = verb === 'skip' || verb === 'redrive';
  if (actor.version === 0 || (actor.snapshot === undefined && !aboutLetters)) {
    refuseCommand(host, draft, open, rejection('not_found', `${actor.id} does not exist. Create it first.`));
    return 'settled';
  }
  if (!aboutLetters) return 'decide';
  if (open.letters === undefined) readLetters(host, actor, open);
  if (open.letters === 'reading' || open.letters === undefined) return 'wait';
  if (verb === 'skip' || open.driven !== undefined) return 'decide';
  if (actor.hold?.kind === 'paused') {
    refuseCommand(host, draft, open, heldError(actor.id, actor.hold));
    return 'settled';
  }
  open.driven = lettersNamed(actor, open).slice(0, redriveAtOnce);
  if (open.driven.length === 0) return 'decide';
  const frees = actor.hold;
  actor.mailbox.unshift(open.driven.map((letter) => ({ kind: 'letter', letter, frees })));
  return 'again';
}

/** Those the command names by id, or all of the actor; without what this activation has taken since they were read. */
export function lettersNamed(actor: Activation, { letters, command }: OpenCommand): readonly StoredLetter[] {
  if (letters === undefined || letters === 'reading') return [];
  const { letters: named } = command.event;
  const wanted = Array.isArray(named) ? new Set<unknown>(named) : undefined;
  return letters.filter(
    ({ letter, place }) => !actor.lettersTaken.has(place) && (wanted === undefined || wanted.has(letter)),
  );
}

function readLetters(host: Surroundings, actor: Activation, open: OpenCommand): void {
  open.letters = 'reading';
  host.journal.letters(actor.id).then(
    (letters) => {
      // As with receipts: the next activation reads for itself.
      if (actor.phase === 'dropped') return;
      if (open.letters === 'reading') open.letters = letters;
      host.schedule(actor);
    },
    (failure: unknown) => {
      if (actor.phase === 'dropped') return;
      host.log.warn({ actor: actor.id, failure }, 'dead letters could not be read; trying again');
      host.clock.after(host.limits.readAgainMs, () => {
        if (open.letters === 'reading') open.letters = undefined;
        host.schedule(actor);
      });
    },
  );
}
