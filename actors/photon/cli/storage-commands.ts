/**
 * `photon snapshot create`: declares a snapshot of a volume and waits until its copy is complete.
 * `photon volume restore`: replaces the bytes of a volume by those of a snapshot.
 */
import type { Command } from 'commander';
import { timeoutOption, withExamples } from './cli-options.ts';
import { deadlineIn } from './deadline.ts';
import { command, wait } from './object-commands.ts';
import { withSession } from './session-action.ts';
import { nameBeside, targetOf } from './targets.ts';
import { say } from './terminal-text.ts';

interface SnapshotOptions {
  readonly volume: string;
  readonly wait: boolean;
  readonly timeout: number;
}

interface RestoreOptions {
  readonly snapshot: string;
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
        const spec = { volume: nameBeside(session, id, 'volume', volume) };
        await command(session, id, 'apply', { spec }, deadline);
        if (!waits) return say(`${id} is being taken`);
        await wait(session, id, { deadline });
      }),
    );
  withExamples(creating, '-t acme snapshot create friday --volume data', 'list snapshot -t acme');

  const volume = program.command('volume').description('restore volumes');
  const restoring = volume
    .command('restore <name>')
    .description(
      'replace the bytes of a volume that no VM holds by those of a snapshot; what was written since is lost',
    )
    .requiredOption('--snapshot <name>', 'snapshot of the same tenant, not larger than the volume')
    .addOption(timeoutOption(3_600))
    .action(
      withSession(program, async (session, name: string, { snapshot: from, timeout }: RestoreOptions) => {
        const id = targetOf(session, 'volume', name);
        const params = { snapshot: nameBeside(session, id, 'snapshot', from) };
        await command(session, id, 'restore', params, deadlineIn(timeout));
        say(`${id} has the bytes of ${from}`);
      }),
    );
  withExamples(restoring, '-t acme vm stop web-1', '-t acme volume restore data --snapshot friday');
}
