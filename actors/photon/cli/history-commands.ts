/**
 * `photon history`: the history of an actor, its state at a version, the differences between two versions, the status
 * of an archive, and a check of an archive's files. Everything is read through the control API, except by the check: it
 * reads the files and runs on the computer where they are.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { askedText } from '@photoncloud/runtime/inspector/asked-text';
import { checkArchive } from '@photoncloud/runtime/archive/chunk-check';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import type { ApiResult } from '@photoncloud/runtime/control-api/api-schema';
import { callerPath, objectOption, outputOption, wholeNumber, withExamples, type Output } from './cli-options.ts';
import { exitCodes, type Session } from './cli-session.ts';
import { stateText, whatHappened, type HistoryLine } from './describe-actor.ts';
import { printObject } from './object-commands.ts';
import { withSession } from './session-action.ts';
import { say } from './terminal-text.ts';
import { textTable } from './text-table.ts';

type Entry = ApiResult<'actor.history'>['entries'][number];

const pageEntries = 500;
const widestCell = 60;

interface WholeHistory {
  readonly entries: readonly Entry[];
  /** Whether entries before the first one are no longer kept. */
  readonly isCut: boolean;
}

/** All entries of versions `from` to `to`, oldest first, page by page from the newest. */
export async function entriesOf(
  client: Pick<PhotonClient, 'call'>,
  id: string,
  from: number,
  to: number | undefined,
): Promise<WholeHistory> {
  const all: Entry[] = [];
  let range: { to?: number; skip?: number } = to === undefined ? {} : { to };
  for (;;) {
    const { entries, older } = await client.call('actor.history', {
      id,
      after: from - 1,
      limit: pageEntries,
      ...range,
    });
    all.unshift(...entries);
    if (older !== 'more') return { entries: all, isCut: older !== 'none' };
    // The page may have cut off entries of its oldest version.
    const oldest = all[0]?.version ?? 1;
    range = { to: oldest, skip: all.filter(({ version }) => version === oldest).length };
  }
}

interface Outputs {
  readonly output: Output;
}

interface Range extends Outputs {
  readonly from: number;
  readonly to?: number;
}

async function showHistory(session: Session, id: string, { from, to, output }: Range): Promise<void> {
  const { entries, isCut } = await entriesOf(session.client, id, from, to);
  if (output !== 'table') return printObject(entries, output);
  const rows = entries.map((entry) => [
    String(entry.version),
    new Date(entry.at).toISOString(),
    whatHappened(entry as HistoryLine),
    `${stateText(entry.from)} -> ${stateText(entry.to)}`,
    entry.asked.map(askedText).join(', '),
  ]);
  if (isCut) say(`what came before version ${entries[0]?.version ?? from} is no longer kept`);
  return say(textTable(['version', 'time', 'event', 'from -> to', 'requests'], rows));
}

/** A cell of the table, shortened; -o json prints the whole value. */
function valueText(path: string, value: unknown): string {
  const text = value === undefined ? '-' : path === 'state' ? stateText(value) : JSON.stringify(value);
  return text.length <= widestCell ? text : `${text.slice(0, widestCell - 1)}…`;
}

async function showDifferences(
  session: Session,
  id: string,
  from: number,
  to: number,
  { output }: Outputs,
): Promise<void> {
  const { differences } = (await session.client.call('actor.diff', { id, from, to })) as ApiResult<'actor.diff'>;
  if (output !== 'table') return printObject(differences, output);
  const rows = differences.map(({ path, before, after }) => [path, valueText(path, before), valueText(path, after)]);
  return say(rows.length === 0 ? 'no difference' : textTable(['field', `version ${from}`, `version ${to}`], rows));
}

/** @param folder a node's folder or its archive folder */
async function checkFiles(folder: string): Promise<void> {
  const given = callerPath(folder);
  const inside = join(given, 'archive');
  const { chunks, blocks, bytes, damage, remains } = await checkArchive(existsSync(inside) ? inside : given);
  for (const line of damage) say(`damage: ${line}`);
  for (const line of remains) say(`left by a crash, harmless: ${line}`);
  say(`${chunks} chunks, ${blocks} blocks, ${bytes} bytes: ${damage.length === 0 ? 'intact' : 'damaged'}`);
  process.exitCode = damage.length === 0 ? exitCodes.ok : exitCodes.refused;
}

export function addHistory(program: Command): void {
  const history = program
    .command('history')
    .description('show the history of an actor, from the store and the archives, including who held or reset it')
    .argument('<id>', 'full id: vm/acme/web-1')
    .option('--from <version>', 'oldest version', wholeNumber, 1)
    .option('--to <version>', 'newest version', wholeNumber)
    .addOption(outputOption())
    .action(withSession(program, (session, id: string, range: Range) => showHistory(session, id, range)));
  withExamples(history, 'history vm/acme/web-1', 'history vm/acme/web-1 --from 40 --to 60 -o json');
  const at = history
    .command('at')
    .argument('<id>')
    .argument('<version>', '', wholeNumber)
    .description('show an actor as it was at a version')
    .addOption(objectOption())
    .action(
      withSession(program, async (session, id: string, version: number, { output }: Outputs) =>
        printObject(await session.client.call('actor.at', { id, version }), output),
      ),
    );
  withExamples(at, 'history at vm/acme/web-1 41');
  const diff = history
    .command('diff')
    .argument('<id>')
    .argument('<from>', 'version', wholeNumber)
    .argument('<to>', 'version', wholeNumber)
    .description('show the differences between two versions; -o json does not shorten long values')
    .addOption(outputOption())
    .action(withSession(program, showDifferences));
  withExamples(diff, 'history diff vm/acme/web-1 41 42');
  const status = history
    .command('status')
    .description('show the status of the history archive of the connected controller')
    .addOption(objectOption())
    .action(
      withSession(program, async (session, { output }: Outputs) =>
        printObject(await session.client.call('archive.status', {}), output),
      ),
    );
  withExamples(status, 'history status');
  const check = history
    .command('check <folder>')
    .description("check the files of the history archive in a node's folder; the node may be running")
    .action(checkFiles);
  withExamples(check, 'history check /var/lib/photon/c1');
}
