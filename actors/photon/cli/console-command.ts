/**
 * `photon console`: the serial console of a VM on this terminal, or through pipes. On a terminal every key goes to the
 * guest, except the one that leaves; what the guest prints reaches a terminal as it is, and anything else with its
 * control characters escaped.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import { withExamples } from './cli-options.ts';
import type { Session } from './cli-session.ts';
import { withSession } from './session-action.ts';
import { targetOf } from './targets.ts';
import { passThrough, warn } from './terminal-text.ts';

/** Ctrl and ]. */
const leaveKey = 0x1d;
/** After the end of standard input, the console is left once nothing was printed for so long. */
const quietMs = 2_000;

async function attach(session: Session, id: string): Promise<void> {
  const grant = await session.client.call('actor.console', { id });
  const print = passThrough();
  let printedMs = performance.now();
  const opened = session.openConsole(grant, {
    onBytes: (bytes) => {
      printedMs = performance.now();
      print(bytes);
    },
  });
  const input = process.stdin;
  const isTerminal = input.isTTY;
  let hasEnded = false;
  const onInput = (bytes: Buffer): void => {
    const end = isTerminal ? bytes.indexOf(leaveKey) : -1;
    const goesOn = opened.write(end < 0 ? bytes : bytes.subarray(0, end));
    if (end >= 0) return opened.close();
    if (goesOn) return undefined;
    input.pause();
    void pause(50).then(() => hasEnded || input.resume());
    return undefined;
  };
  const onEnd = async (): Promise<void> => {
    printedMs = performance.now();
    while (!hasEnded && performance.now() - printedMs < quietMs) await pause(100);
    opened.close();
  };
  if (isTerminal) {
    input.setRawMode(true);
    warn(`the console of ${id}; Ctrl and ] leave it\r`);
  }
  opened.onOpen(() => {
    input.on('data', onInput);
    input.once('end', () => void onEnd());
  });
  try {
    const why = await opened.ended;
    if (isTerminal) warn(`\r\n${why === '' ? 'left' : why}`);
  } finally {
    hasEnded = true;
    if (isTerminal) input.setRawMode(false);
    input.off('data', onInput);
    input.pause();
  }
}

export function addConsole(program: Command): void {
  const console = program
    .command('console <vm>')
    .description(
      'the serial console of a VM; Ctrl and ] leave it. Without a terminal, standard input is typed, and the console ' +
        'is left once nothing more is printed',
    )
    .action(withSession(program, (session, name: string) => attach(session, targetOf(session, 'vm', name))));
  withExamples(console, 'console web-1', 'echo uptime | photon -t acme console web-1');
}
