/**
 * Options that several CLI commands share, and the examples below a command's help. Numbers are checked when the
 * options are parsed: a wrong one is a usage error, and no request is sent to the server.
 */
import { InvalidArgumentError, Option, type Command } from 'commander';

export type Output = 'table' | 'json' | 'yaml';

export const outputOption = (): Option =>
  new Option('-o, --output <format>', 'output format').choices(['table', 'json', 'yaml']).default('table');

/** The output option of commands whose answer is one object without columns. */
export const objectOption = (): Option =>
  new Option('-o, --output <format>', 'output format').choices(['yaml', 'json']).default('yaml');

const longestWaitS = 365 * 86_400;

/** How long the whole command may take. */
export const timeoutOption = (seconds = 120): Option =>
  new Option('--timeout <seconds>', 'how long to wait in all')
    .default(seconds)
    .argParser(numberBetween(1, longestWaitS));

/** @throws InvalidArgumentError, which ends the program with the exit code for usage */
export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

export const numberBetween =
  (least: number, most: number) =>
  (text: string): number => {
    const value = wholeNumber(text);
    if (value < least || value > most) throw new InvalidArgumentError(`It must be ${least} to ${most}.`);
    return value;
  };

export const portNumber = numberBetween(1, 65_535);

/** Adds examples below the command's help; each line is the text after `photon`. */
export function withExamples(command: Command, ...lines: readonly string[]): Command {
  const shown = lines.map((line) => `  photon ${line}\n`).join('');
  return command.addHelpText('after', `\n${lines.length === 1 ? 'Example' : 'Examples'}:\n${shown}`);
}
