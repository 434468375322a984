/** The CLI as a person runs it: how it ended and what it said. Used by refusals.test.ts. */
import { execFile } from 'node:child_process';
import { cliCommand } from './photon-commands.ts';

export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export function photon(file: string, ...argv: string[]): Promise<Ended> {
  const [program = '', ...rest] = cliCommand(file, argv);
  return new Promise((resolve) => {
    execFile(program, rest, { timeout: 30_000 }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), out, err }),
    );
  });
}
