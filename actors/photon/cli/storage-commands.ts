/** `photon snapshot create`: declares a snapshot of a volume and waits until its copy is complete. */
import type { Command } from 'commander';
import { timeoutOption, withExamples } from './cli-options.ts';
import { deadlineIn } from './deadline.ts';
import { command, wait } from './object-commands.ts';
import { withSession } from './session-action.ts';
import { targetOf } from './targets.ts';
import { say } from './terminal-text.ts';

interface SnapshotOptions {
  readonly volume: string;
  readonly wait: boolean;
  readonly timeout: number;
}

export function addStorage(program: Command): void {
  const snapshot = program.command('snapshot').description('take snapshots of volumes');
  const creating = snapshot
    .command('create <name>')
    .description(
      'copy the bytes of a volume as they are at one moment, also while a guest writes, and wait for the copy',
    )
    .requiredOption('--volume <name>', 'volume of the same tenant')
    .option('--no-wait', 'return once there is room for the copy')
    .addOption(timeoutOption(3_600))
    .action(
      withSession(program, async (session, name: string, { volume, wait: waits, timeout }: SnapshotOptions) => {
        const id = targetOf(session, 'snapshot', name);
        const deadline = deadlineIn(timeout);
        await command(session, id, 'apply', { spec: { volume } }, deadline);
        if (!waits) return say(`${id} is being taken`);
        await wait(session, id, { deadline });
      }),
    );
  withExamples(creating, '-t acme snapshot create friday --volume data', 'list snapshot -t acme');
}
