/**
 * The verbs of operators: pause, resume, skip, redrive and reset one actor, and the list of what could not be
 * delivered. Each sends one request and prints its answer; what a verb does is decided by the actor's host.
 */
import { randomUUID } from 'node:crypto';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Command } from 'commander';
import type { Session } from './cli-session.ts';
import { printObject } from './object-commands.ts';
import { stateText } from './describe-actor.ts';
import { withSession } from './session-action.ts';
import { age, textTable } from './text-table.ts';

interface VerbOptions {
  readonly reason: string;
  readonly letter?: readonly string[];
  readonly to?: string;
  readonly patch?: string;
  readonly dryRun?: boolean;
}

interface Letter {
  readonly letter: string;
  readonly actor: string;
  readonly event: { readonly type: string };
  readonly reason: string;
  readonly state: unknown;
  readonly version: number;
  readonly at: number;
}

const verbs = {
  pause: 'take no inputs until resumed; running effects stop and are performed again later',
  resume: 'end a pause or a quarantine',
  skip: 'drop dead letters: those named, or the one behind a quarantine, which then ends',
  redrive: 'deliver dead letters again, once each: those named, or all of the actor',
  reset: 'enter a state as the chart would; --dry-run shows what would change',
} as const;

async function operate(session: Session, verb: keyof typeof verbs, id: string, options: VerbOptions): Promise<void> {
  const { reason, letter: letters, to, dryRun } = options;
  const patch = options.patch === undefined ? {} : { patch: patchOf(options.patch) };
  const answer = (await session.client.call(`actor.${verb}`, {
    id,
    reason,
    idempotencyKey: `cli-${randomUUID()}`,
    ...(letters === undefined ? {} : { letters }),
    ...(to === undefined ? {} : { to }),
    ...(dryRun === undefined ? {} : { dryRun }),
    ...patch,
  })) as { version: number; result: unknown };
  const outcome = dryRun === true ? 'would change, from' : 'done,';
  process.stdout.write(`${id} ${verb} ${outcome} version ${answer.version}\n`);
  printObject(answer.result, 'yaml');
}

function patchOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new PhotonError('rejection', 'params_invalid', '--patch is not JSON; write an object of fields', { cause });
  }
}

async function listLetters(session: Session, id: string | undefined, output: 'table' | 'json' | 'yaml'): Promise<void> {
  const all: Letter[] = [];
  let after: string | undefined;
  do {
    const page = (await session.client.call('deadletters.list', {
      limit: 200,
      ...(id === undefined ? {} : { id }),
      ...(after === undefined ? {} : { after }),
    })) as { letters: Letter[]; next: string | null };
    all.push(...page.letters);
    after = page.next ?? undefined;
  } while (after !== undefined);
  if (output !== 'table') return printObject(all, output);
  const now = Date.now();
  const rows = all.map(({ letter, actor, event, reason, state, version, at }) => [
    letter,
    actor,
    event.type,
    `${stateText(state)} v${version}`,
    age(at, now),
    reason,
  ]);
  process.stdout.write(`${textTable(['letter', 'actor', 'event', 'found', 'age', 'reason'], rows)}\n`);
  return undefined;
}

export function addOperating(program: Command): void {
  const actor = program.command('actor').description('for operators: hold, mend and reset one actor');
  for (const [verb, description] of Object.entries(verbs) as [keyof typeof verbs, string][]) {
    const command = actor
      .command(`${verb} <id>`)
      .description(description)
      .requiredOption('--reason <text>', 'why; kept in the history of the actor');
    if (verb === 'skip' || verb === 'redrive') command.option('--letter <id...>', 'only these dead letters');
    if (verb === 'reset') {
      command
        .requiredOption('--to <state>', 'such as running or preparing.tap')
        .option('--patch <json>', 'fields of the context to set')
        .option('--dry-run', 'say what would change and change nothing');
    }
    command.action(
      withSession(program, (session, id: string, options: VerbOptions) => operate(session, verb, id, options)),
    );
  }
  program
    .command('deadletters [id]')
    .description('for operators: what could not be delivered, and why')
    .option('-o, --output <form>', 'table, json or yaml', 'table')
    .action(
      withSession(program, (session, id: string | undefined, options: { output: 'table' | 'json' | 'yaml' }) =>
        listLetters(session, id, options.output),
      ),
    );
}
