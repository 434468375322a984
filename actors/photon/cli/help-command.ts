/**
 * `photon help VERB...`, and what `--help` says of a verb that does not exist: without this, commander would print the
 * help of the group around it and end as if that had been asked for.
 */
import type { Command } from 'commander';
import { withExamples } from './cli-options.ts';
import { suggestion } from '@photoncloud/runtime/contract/suggestion';

const named = (group: Command, word: string): Command | undefined =>
  group.commands.find((each) => each.name() === word || each.aliases().includes(word));

/** Ends the program with the exit code of a wrong usage. */
function refuse(group: Command, word: string): never {
  const known = group.commands.map((each) => each.name());
  return group.error(`error: unknown command '${word}'; ${suggestion(word, known)}`);
}

export function addHelp(program: Command): void {
  const help = program
    .command('help [command...]')
    .description('display help for command')
    .helpGroup('Commands:')
    .action((words: readonly string[]) => {
      let group = program;
      for (const word of words) group = named(group, word) ?? refuse(group, word);
      group.outputHelp();
    });
  withExamples(help, 'help vm migrate');
  program.on('beforeAllHelp', ({ command: group, error }: { command: Command; error: boolean }) => {
    const [word = '-'] = group.args;
    const isGroup = group.commands.length > 0;
    if (isGroup && !error && !word.startsWith('-') && word !== 'help' && named(group, word) === undefined)
      refuse(group, word);
  });
}
