/** `photon upgrade check` (upgrade-check.ts). */
import { Option, type Command } from 'commander';
import { explain } from './cli/cli-session.ts';
import { withExamples } from './cli/cli-options.ts';
import { warn } from './cli/terminal-text.ts';

export function addUpgrade(program: Command): void {
  const command = program
    .command('upgrade')
    .description('checks before a new release is installed')
    .command('check')
    .description('check that this release can load every actor of the store; exit code 1 when it cannot')
    .requiredOption('--dir <folder>', 'the folder of a node of the cluster')
    .addOption(new Option('-o, --output <format>', 'output format').choices(['table', 'json']).default('table'))
    .action(async (options: { dir: string; output: string }) => {
      try {
        const { checkUpgrade } = await import('./upgrade-check.ts');
        process.exitCode = await checkUpgrade(options.dir, options.output);
      } catch (error) {
        const { text, exitCode } = explain(error);
        warn(text);
        process.exitCode = exitCode;
      }
    });
  withExamples(command, 'upgrade check --dir /var/lib/photon/c1');
}
