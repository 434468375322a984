/**
 * `photon nix-agent`: brings this NixOS host to a system that was built elsewhere, and back when it does not work
 * there. `run` is the agent (a unit of nix/modules/nix-agent.nix); the others are used by whoever rolls out, over ssh.
 */
import { randomUUID } from 'node:crypto';
import { reject } from '@photoncloud/runtime/contract/errors';
import type { Command } from 'commander';
import { withExamples } from './cli/cli-options.ts';
import { say, warn } from './cli/terminal-text.ts';
import { RolloutFolder, desiredSystem, type RolloutRecord } from './nix-agent/rollout-files.ts';

const defaultFolder = '/var/lib/photoncloud/nix-agent';
const lineOf = ({ state, system, why }: RolloutRecord): string => `${state.padEnd(21)}  ${system}  ${why}`.trimEnd();

export function addNixAgent(program: Command): void {
  const agent = program
    .command('nix-agent')
    .description('bring this NixOS host to a system that was built elsewhere, and back when that fails');
  const dir = ['--dir <folder>', 'folder of the agent', defaultFolder] as const;
  agent
    .command('run')
    .description('run the agent: it carries out requests, one at a time')
    .option(...dir)
    .requiredOption('--settings <file>', 'trusted keys, health checks and deadlines, as JSON')
    .action(async (options: { readonly dir: string; readonly settings: string }) => {
      const { runAgent } = await import('./nix-agent/agent-run.ts');
      await runAgent(options.dir, options.settings, (record) => say(lineOf(record)));
      process.exit(0);
    });
  const request = agent
    .command('request <system>')
    .description('ask the agent for a system: a path of the Nix store')
    .option(...dir)
    .option('--from <cache>', 'binary cache that has its closure; without it the closure was copied here before')
    .action((system: string, options: { readonly dir: string; readonly from?: string }) => {
      const desired = desiredSystem.safeParse({
        id: randomUUID(),
        system,
        from: options.from ?? null,
        askedAt: Date.now(),
      });
      if (!desired.success)
        throw reject('system_invalid', `${system} is no path of a Nix store; name what nix build made`);
      new RolloutFolder(options.dir).request(desired.data);
      say(`requested ${desired.data.id}`);
    });
  withExamples(request, 'nix-agent request /nix/store/...-nixos-system-work-1 --from https://cache.example');
  agent
    .command('confirm')
    .description('say, over a new connection, that the host can be reached after the switch')
    .option(...dir)
    .action((options: { readonly dir: string }) => {
      const folder = new RolloutFolder(options.dir);
      const record = folder.record();
      if (record?.state !== 'awaiting-confirmation')
        throw reject(
          'nothing_to_confirm',
          `no rollout waits for a confirmation here; it is ${record?.state ?? 'none'}`,
        );
      folder.confirm(record.id);
      say(`confirmed ${record.id}`);
    });
  agent
    .command('status')
    .description('show how far the last rollout is; ends with 1 unless it was confirmed')
    .option(...dir)
    .action((options: { readonly dir: string }) => {
      const record = new RolloutFolder(options.dir).record();
      if (record === undefined) return warn('nothing was rolled out here');
      say(lineOf(record));
      process.exitCode = record.state === 'confirmed' ? 0 : 1;
      return undefined;
    });
}
