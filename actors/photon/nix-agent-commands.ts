/**
 * `photon nix-agent`: brings this NixOS host to a system that was built elsewhere, and back when it does not work
 * there. `run` is the agent (a unit of nix/modules/nix-agent.nix); the others are used by whoever rolls out, over ssh.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { reject } from '@photoncloud/runtime/contract/errors';
import type { Command } from 'commander';
import { withExamples } from './cli/cli-options.ts';
import { say, warn } from './cli/terminal-text.ts';
import { lockFolder } from './folder-lock.ts';
import { HostRollout } from './nix-agent/host-rollout.ts';
import { NixSystem } from './nix-agent/nix-system.ts';
import { RolloutFolder, desiredSystem, readSettings, type RolloutRecord } from './nix-agent/rollout-files.ts';

const defaultFolder = '/var/lib/photoncloud/nix-agent';
const pollMs = 500;

const lineOf = ({ state, system, why }: RolloutRecord): string => `${state.padEnd(21)}  ${system}  ${why}`.trimEnd();

async function runAgent(dir: string, settingsPath: string): Promise<void> {
  const settings = readSettings(settingsPath);
  const lock = await lockFolder(dir);
  let isStopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => (isStopping = true));
  const rollout = new HostRollout({
    folder: new RolloutFolder(dir),
    host: new NixSystem(settings, dir),
    settings,
    say: (one) => say(lineOf(one)),
    isStopping: () => isStopping,
  });
  await rollout.resume();
  while (!isStopping) {
    const desired = rollout.pending();
    if (desired === undefined) await pause(pollMs);
    else await rollout.carryOut(desired);
  }
  await lock.release();
}

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
      await runAgent(options.dir, options.settings);
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
