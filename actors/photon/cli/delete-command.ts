/**
 * `photon delete`: objects by kind and names or by ids, the objects that files declare, or all of a kind of a tenant.
 * An object is deleted before those that it refers to. A refusal does not stop the others; the exit code tells of it.
 */
import { createInterface } from 'node:readline/promises';
import { idOf } from '@photoncloud/machines/values/identifiers';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Command } from 'commander';
import { fileOption, timeoutOption, withExamples } from './cli-options.ts';
import { explain, exitCodes, type Session } from './cli-session.ts';
import { deadlineIn, type Deadline } from './deadline.ts';
import { readAllDocuments } from './document-schema.ts';
import { idsOf } from './list-commands.ts';
import { command } from './object-commands.ts';
import { withSession } from './session-action.ts';
import { checkKind, inDeleteOrder, targetsOf } from './targets.ts';
import { say, warn } from './terminal-text.ts';

interface DeleteOptions {
  readonly file?: readonly string[];
  readonly all?: boolean;
  readonly yes?: boolean;
  readonly timeout: number;
}

/** @throws rejection `confirmation_needed` where nobody can be asked, or somebody was and did not agree */
async function confirm(ids: readonly string[]): Promise<void> {
  const what = `${ids.length} object${ids.length === 1 ? '' : 's'}: ${ids.join(', ')}`;
  if (process.stdin.isTTY !== true)
    throw new PhotonError('rejection', 'confirmation_needed', `this deletes ${what}; say --yes`);
  warn(`this deletes ${what}`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question('delete them? [y/N] ');
  terminal.close();
  if (!/^y(?:es)?$/i.test(answer.trim()))
    throw new PhotonError('rejection', 'confirmation_needed', 'nothing was deleted');
}

interface Chosen {
  readonly ids: readonly string[];
  /** A file says what should not exist; an object that does not exist is then no error. */
  readonly mayBeGone: boolean;
}

async function chosen(session: Session, words: readonly string[], options: DeleteOptions): Promise<Chosen> {
  const { file: files = [], all = false, yes = false } = options;
  const ways = [words.length > (all ? 1 : 0), files.length > 0, all].filter(Boolean).length;
  if (ways !== 1) {
    const text = 'name what to delete in one way: KIND NAME..., ids, -f FILE, or KIND --all';
    throw new PhotonError('rejection', 'name_needed', text);
  }
  if (files.length > 0) {
    const declared = readAllDocuments(files, session.tenantOrNone);
    return { ids: inDeleteOrder(declared.map(({ kind, tenant, name }) => idOf(kind, tenant, name))), mayBeGone: true };
  }
  if (!all) return { ids: inDeleteOrder(targetsOf(session, words)), mayBeGone: false };
  const [kind] = words;
  if (kind === undefined) throw new PhotonError('rejection', 'name_needed', '--all needs a kind: delete vm --all');
  checkKind(kind);
  const ids = await idsOf(session.client, kind, session.tenant());
  if (ids.length > 0 && !yes) await confirm(ids);
  return { ids, mayBeGone: false };
}

async function deleteOne(session: Session, id: string, mayBeGone: boolean, deadline: Deadline): Promise<void> {
  try {
    await command(session, id, 'delete', {}, deadline);
    say(`${id} deleted`);
  } catch (error) {
    const isGone = error instanceof PhotonError && error.record.code === 'not_found';
    if (!isGone || !mayBeGone) throw error;
    say(`${id} was not there`);
  }
}

async function remove(session: Session, words: readonly string[], options: DeleteOptions): Promise<void> {
  const { ids, mayBeGone } = await chosen(session, words, options);
  if (ids.length === 0) return say('there is nothing to delete');
  const deadline = deadlineIn(options.timeout);
  for (const id of ids) {
    try {
      await deleteOne(session, id, mayBeGone, deadline);
    } catch (error) {
      const { text, exitCode } = explain(error);
      if (exitCode === exitCodes.unreachable) throw error;
      warn(ids.length === 1 ? text : `${id}: ${text}`);
      process.exitCode = exitCode;
    }
  }
}

export function addDelete(program: Command): void {
  const added = program
    .command('delete [kind] [name...]')
    .description('delete objects and wait until they are gone')
    .addOption(fileOption('delete what these documents declare; repeatable, - reads standard input'))
    .option('--all', 'all objects of the kind in the tenant; asks first')
    .option('--yes', 'do not ask')
    .addOption(timeoutOption(600))
    .action(
      withSession(program, (session, kind: string | undefined, names: readonly string[], options: DeleteOptions) =>
        remove(session, kind === undefined ? [] : [kind, ...names], options),
      ),
    );
  withExamples(
    added,
    'delete vm/acme/web-1',
    '-t acme delete vm web-1 web-2',
    'delete -f network.yaml',
    '-t acme delete vm --all --yes',
  );
}
