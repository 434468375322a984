/**
 * The frame of every CLI command: opens a session, runs the command, prints an error, sets the exit code, closes the
 * session. Called by the files that declare commands.
 */
import type { Command } from 'commander';
import { explain, openSession, type Session } from './cli-session.ts';
import { warn } from './terminal-text.ts';

/** Commander passes the options before the command itself. */
function timeoutIn(args: readonly unknown[]): { readonly timeoutS?: number } {
  const { timeout } = (args.at(-2) ?? {}) as { readonly timeout?: number };
  return timeout === undefined ? {} : { timeoutS: timeout };
}

export function withSession<Args extends unknown[]>(
  program: Command,
  run: (session: Session, ...args: Args) => Promise<void>,
) {
  return async (...args: Args): Promise<void> => {
    const { as, tenant } = program.opts<{ as?: string; tenant?: string }>();
    try {
      const session = await openSession({
        ...(as === undefined ? {} : { as }),
        ...(tenant === undefined ? {} : { tenant }),
        ...timeoutIn(args),
      });
      try {
        await run(session, ...args);
      } finally {
        session.close();
      }
    } catch (error) {
      const { text, exitCode } = explain(error);
      warn(text);
      process.exitCode = exitCode;
    }
  };
}
