/**
 * Options that several CLI commands share, and the examples below a command's help. Numbers are checked when the
 * options are parsed: a wrong one is a usage error, and no request is sent to the server.
 */
import { resolve } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';

export type Output = 'table' | 'json' | 'yaml';
export type ListOutput = Output | 'wide';

export const outputOption = (): Option =>
  new Option('-o, --output <format>', 'output format').choices(['table', 'json', 'yaml']).default('table');

export const listOutputOption = (): Option =>
  new Option('-o, --output <format>', 'output format; wide adds addresses, host, restarts and age')
    .choices(['table', 'wide', 'json', 'yaml'])
    .default('table');

/** `-f`, which may be given several times. */
export const fileOption = (description: string): Option =>
  new Option('-f, --file <path>', description).argParser((path: string, before: readonly string[] | undefined) => [
    ...(before ?? []),
    path,
  ]);

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

/**
 * A path as the caller means it: relative to the folder in which the command was typed. `npm run photon` runs the
 * program in the top folder of the checkout and names the caller's folder in INIT_CWD.
 */
export const callerPath = (path: string): string =>
  resolve(process.env['npm_lifecycle_event'] === 'photon' ? (process.env['INIT_CWD'] ?? '.') : '.', path);

/** Adds examples below the command's help; each line is the text after `photon`. */
export function withExamples(command: Command, ...lines: readonly string[]): Command {
  const shown = lines.map((line) => `  photon ${line}\n`).join('');
  return command.addHelpText('after', `\n${lines.length === 1 ? 'Example' : 'Examples'}:\n${shown}`);
}
