/**
 * `photon history`: what happened to an actor, what it was at a version, what differs between two; how the archives are
 * getting on, and whether the files of one are whole. Prints what the control API says; only the check of files reads
 * them itself, on the machine where they are.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Option, type Command } from 'commander';
import { askedText, eventText } from '@photoncloud/runtime/inspector/asked-text';
import { checkArchive } from '@photoncloud/runtime/archive/segment-check';
import type { ApiResult } from '@photoncloud/runtime/control-api/api-schema';
import { exitCodes, type Session } from './cli-session.ts';
import { stateText } from './describe-actor.ts';
import { printObject, type Output } from './object-commands.ts';
import { withSession } from './session-action.ts';
import { textTable } from './text-table.ts';

type Entry = ApiResult<'actor.history'>['entries'][number];

const pageEntries = 500;
const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** All entries of versions `from` to `to`, oldest first, page by page from the newest. */
async function entriesOf(session: Session, id: string, from: number, to: number | undefined): Promise<Entry[]> {
  let all: Entry[] = [];
  let end = to;
  for (;;) {
    const range = { id, after: from - 1, limit: pageEntries, ...(end === undefined ? {} : { to: end }) };
    const { entries } = (await session.client.call('actor.history', range)) as { entries: Entry[] };
    if (entries.length < pageEntries) return [...entries, ...all];
    // The oldest version of a full page may have more entries than came; unless it fills the page, it is asked again.
    const oldest = entries[0]?.version ?? 1;
    const later = entries.filter(({ version }) => version > oldest);
    all = [...(later.length > 0 ? later : entries), ...all];
    end = later.length > 0 ? oldest : oldest - 1;
    if (end < from) return all;
  }
}

interface Range {
  readonly from: number;
  readonly to?: number;
  readonly output: Output;
}

async function showHistory(session: Session, id: string, { from, to, output }: Range): Promise<void> {
  const entries = await entriesOf(session, id, from, to);
  if (output !== 'table') return printObject(entries, output);
  const rows = entries.map((entry) => {
    const event = eventText((entry.event as { type: string }).type);
    return [
      String(entry.version),
      new Date(entry.at).toISOString(),
      entry.kind === 'transition' ? event : `${event} (${entry.kind})`,
      `${stateText(entry.from)} -> ${stateText(entry.to)}`,
      entry.asked.map(askedText).join(', '),
    ];
  });
  return say(textTable(['version', 'time', 'event', 'from -> to', 'asked for'], rows));
}

async function showDifferences(session: Session, id: string, from: string, to: string): Promise<void> {
  const versions = { from: Number(from), to: Number(to) };
  const { differences } = (await session.client.call('actor.diff', { id, ...versions })) as ApiResult<'actor.diff'>;
  const text = (value: unknown): string => (value === undefined ? '-' : JSON.stringify(value));
  const rows = differences.map(({ path, before, after }) => [path, text(before), text(after)]);
  say(rows.length === 0 ? 'no difference' : textTable(['field', `version ${from}`, `version ${to}`], rows));
}

/** @param folder a node's folder, or the archive in it */
async function checkFiles(folder: string): Promise<void> {
  const inside = join(folder, 'archive');
  const { segments, blocks, bytes, damage, remains } = await checkArchive(existsSync(inside) ? inside : folder);
  for (const line of damage) say(`damage: ${line}`);
  for (const line of remains) say(`remains, harmless: ${line}`);
  say(`${segments} segments, ${blocks} blocks, ${bytes} bytes: ${damage.length === 0 ? 'whole' : 'damaged'}`);
  process.exitCode = damage.length === 0 ? exitCodes.ok : exitCodes.refused;
}

export function addHistory(program: Command): void {
  const output = (): Option => new Option('-o, --output <form>').choices(['table', 'json', 'yaml']).default('table');
  const history = program
    .command('history')
    .description('the past of an actor, from the store and the archives')
    .argument('<id>', 'whole id: vm/acme/web')
    .option('--from <version>', 'oldest version', Number, 1)
    .option('--to <version>', 'newest version', Number)
    .addOption(output())
    .action(withSession(program, (session, id: string, range: Range) => showHistory(session, id, range)));
  history
    .command('at <id> <version>')
    .description('an actor as it was at a version')
    .action(
      withSession(program, async (session, id: string, version: string) =>
        printObject(await session.client.call('actor.at', { id, version: Number(version) }), 'yaml'),
      ),
    );
  history
    .command('diff <id> <from> <to>')
    .description('what differs between two versions')
    .action(withSession(program, showDifferences));
  history
    .command('status')
    .description('how the controller that answers is getting on with its archive')
    .action(
      withSession(program, async (session) => printObject(await session.client.call('archive.status', {}), 'yaml')),
    );
  history
    .command('check <folder>')
    .description("whether the archive in a node's folder is whole; reads its files, may run beside the node")
    .action(checkFiles);
}
