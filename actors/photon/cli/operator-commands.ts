/**
 * The operator commands: pause, resume, skip, redrive and reset one actor, and the list of dead letters. Each sends one
 * request and prints the answer (verb-answers.ts); the node that hosts the actor carries the verb out.
 */
import { randomUUID } from 'node:crypto';
import type { ApiResult } from '@photoncloud/runtime/control-api/api-schema';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Command } from 'commander';
import { outputOption, withExamples, type Output } from './cli-options.ts';
import { exitCodes, type Session } from './cli-session.ts';
import { printObject } from './object-commands.ts';
import { stateText } from './describe-actor.ts';
import { withSession } from './session-action.ts';
import { targetOf } from './targets.ts';
import { say } from './terminal-text.ts';
import { age, textTable } from './text-table.ts';
import { verbText, type Verb, type VerbAnswer } from './verb-answers.ts';

interface VerbOptions {
  readonly reason: string;
  readonly deadLetter?: readonly string[];
  readonly all?: boolean;
  readonly to?: string;
  readonly patch?: string;
  readonly dryRun?: boolean;
  readonly output: Output;
}

type DeadLetter = ApiResult<'deadletters.list'>['deadLetters'][number];

const verbs: Readonly<Record<Verb, readonly [description: string, ...examples: string[]]>> = {
  pause: [
    'process no messages until resumed; running effects are cancelled and performed again later',
    'actor pause vm/acme/web-1 --reason "its disk is being copied"',
  ],
  resume: ['end a pause or a quarantine', 'actor resume vm/acme/web-1 --reason "the copy is done"'],
  skip: [
    'drop dead letters: the named ones, or the one that caused a quarantine, which then ends',
    'actor skip port/acme/p1 --reason "the host is gone for good"',
    'actor skip port/acme/p1 --dead-letter 01M8BSY8KMY9ZAJ077J9EV7HG4 --reason "sent twice"',
    'actor skip port/acme/p1 --all --reason "no longer needed"',
  ],
  redrive: [
    'deliver dead letters again, once each: the named ones, or all of the actor; exit code 1 when one fails again',
    'actor redrive port/acme/p1 --reason "the chart is repaired"',
  ],
  reset: [
    'enter a state with its entry effects, messages and timers; --dry-run shows what would change',
    'actor reset vm/acme/web-1 --to stopped --dry-run --reason "stuck in stopping"',
    'actor reset vm/acme/web-1 --to stopped --patch \'{"tries":0}\' --reason "stuck in stopping"',
  ],
};

async function operate(session: Session, verb: Verb, id: string, options: VerbOptions): Promise<void> {
  const { reason, to, dryRun = false, output } = options;
  const deadLetters = options.all === true ? await deadLetterIdsOf(session, id) : options.deadLetter;
  const patch = options.patch === undefined ? {} : { patch: patchOf(options.patch) };
  const answer = (await session.client.call(`actor.${verb}`, {
    id,
    reason,
    idempotencyKey: `cli-${Date.now()}-${randomUUID()}`,
    ...(deadLetters === undefined ? {} : { deadLetters }),
    ...(to === undefined ? {} : { to }),
    ...(dryRun ? { dryRun } : {}),
    ...patch,
  })) as VerbAnswer;
  const { text, failed } = verbText(verb, answer, dryRun);
  if (output === 'table') say(text);
  else printObject(answer, output);
  if (failed) process.exitCode = exitCodes.refused;
}

function patchOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new PhotonError('rejection', 'params_invalid', '--patch is not JSON; write an object of fields', { cause });
  }
}

async function deadLettersOf(session: Session, filter: { readonly id?: string; readonly scope?: string }) {
  const all: DeadLetter[] = [];
  let after: string | undefined;
  do {
    const page = await session.client.call('deadletters.list', {
      limit: 200,
      ...filter,
      ...(after === undefined ? {} : { after }),
    });
    all.push(...page.deadLetters);
    after = page.next ?? undefined;
  } while (after !== undefined);
  return all;
}

/** The server drops at most this many dead letters per request; the same command again drops the next ones. */
const deadLettersAtOnce = 256;

/** @throws PhotonError rejection `not_found` when there are none: an empty list would be a request without names */
async function deadLetterIdsOf(session: Session, id: string): Promise<string[]> {
  const ids = (await deadLettersOf(session, { id }))
    .slice(0, deadLettersAtOnce)
    .map(({ deadLetterId }) => deadLetterId);
  if (ids.length === 0) throw new PhotonError('rejection', 'not_found', `${id} has no dead letters.`);
  return ids;
}

interface Listing {
  readonly output: Output;
  readonly clear?: boolean;
  readonly reason?: string;
}

/** Drops what the same command without `--clear` lists. */
async function clearDeadLetters(
  session: Session,
  of: { readonly id?: string; readonly scope?: string },
  reason: string | undefined,
  output: Output,
): Promise<void> {
  if (reason === undefined)
    throw new PhotonError('rejection', 'params_invalid', 'say why they are dropped: --clear --reason TEXT');
  let cleared = 0;
  let answer: ApiResult<'deadletters.clear'>;
  do {
    const idempotencyKey = `cli-${Date.now()}-${randomUUID()}`;
    answer = await session.client.call('deadletters.clear', { ...of, idempotencyKey, reason });
    cleared += answer.cleared;
  } while (answer.cleared > 0 && answer.left > answer.held);
  if (output !== 'table') return printObject({ ...answer, cleared }, output);
  const { left, held } = answer;
  const rest = left === 0 ? 'none is left' : `${left} are left; ${held} of them hold an actor in quarantine`;
  say(`${cleared} dead letters dropped; ${rest}`);
}

function deadLettersText(deadLetters: readonly DeadLetter[]): string {
  if (deadLetters.length === 0) return 'there are no dead letters';
  const now = Date.now();
  const rows = deadLetters.map(({ deadLetterId, actor, event, reason, state, version, at }) => [
    deadLetterId,
    actor,
    (event as { type: string }).type,
    state === null ? 'no such actor' : `${stateText(state)} v${version}`,
    age(at, now),
    reason,
  ]);
  const table = textTable(['dead letter', 'actor', 'event', 'in state', 'age', 'reason'], rows);
  const next = 'photon actor redrive ACTOR [--dead-letter ID] --reason WHY delivers them again; skip drops them';
  return `${table}\n\n${next}`;
}

export function addOperating(program: Command): void {
  const actor = program.command('actor').description('pause, resume, repair and reset one actor; for operators');
  for (const [verb, [description, ...examples]] of Object.entries(verbs) as [Verb, (typeof verbs)[Verb]][]) {
    const command = actor
      .command(`${verb} <kind> [name]`)
      .description(`${description}. Name the actor by KIND NAME or by its full id`)
      .requiredOption('--reason <text>', 'why; recorded in the history of the actor');
    if (verb === 'skip' || verb === 'redrive') command.option('--dead-letter <id...>', 'only these dead letters');
    if (verb === 'skip') command.option('--all', 'all dead letters of the actor');
    if (verb === 'reset') {
      command
        .requiredOption('--to <state>', 'the state to enter, such as running or preparing.tap')
        .option('--patch <json>', 'fields of the context to set, as a JSON object')
        .option('--dry-run', 'show what would change and change nothing');
    }
    command
      .addOption(outputOption())
      .action(
        withSession(program, (session, kind: string, name: string | undefined, options: VerbOptions) =>
          operate(session, verb, targetOf(session, kind, name), options),
        ),
      );
    withExamples(command, ...examples);
  }
  const deadLetters = program
    .command('deadletters [kind] [name]')
    .description('list dead letters with the reasons: of one object, of a tenant (-t), or all; for operators')
    .option('--clear', 'drop them; needs --reason')
    .option('--reason <text>', 'why they are dropped; recorded in the history of each actor')
    .addOption(outputOption())
    .action(
      withSession(
        program,
        async (session, kind: string | undefined, name: string | undefined, { output, clear, reason }: Listing) => {
          const scope = program.opts<{ tenant?: string }>().tenant;
          const of =
            kind === undefined ? (scope === undefined ? {} : { scope }) : { id: targetOf(session, kind, name) };
          if (clear === true) return clearDeadLetters(session, of, reason, output);
          const found = await deadLettersOf(session, of);
          if (output === 'table') say(deadLettersText(found));
          else printObject(found, output);
        },
      ),
    );
  withExamples(
    deadLetters,
    'deadletters',
    'deadletters port/acme/p1',
    'deadletters -t acme -o json',
    'deadletters -t acme --clear --reason "of ports that are gone"',
  );
}
