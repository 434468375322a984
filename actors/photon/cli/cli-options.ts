/**
 * Options that several commands of the command line share, and how a command shows examples of itself. Numbers are
 * checked where they are read: a wrong one is a usage error, never a question to the server.
 */
import { InvalidArgumentError, Option, type Command } from 'commander';

export type Output = 'table' | 'json' | 'yaml';

export const outputOption = (): Option =>
  new Option('-o, --output <form>', 'for people or for programs').choices(['table', 'json', 'yaml']).default('table');

/** Of commands whose answer is one object and has no columns. */
export const objectOption = (): Option =>
  new Option('-o, --output <form>', 'how it is written').choices(['yaml', 'json']).default('yaml');

export const timeoutOption = (): Option =>
  new Option('--timeout <seconds>', 'how long to wait').default(120).argParser(wholeNumber);

/** @throws InvalidArgumentError, which ends the program with the exit code for usage */
export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

/** Shown below the help of the command; each line is what comes after `photon`. */
export function withExamples(command: Command, ...lines: readonly string[]): Command {
  const shown = lines.map((line) => `  photon ${line}\n`).join('');
  return command.addHelpText('after', `\n${lines.length === 1 ? 'Example' : 'Examples'}:\n${shown}`);
}
