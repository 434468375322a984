/** The agent of a NixOS host as a process. Called by nix-agent-commands.ts. */
import { setTimeout as pause } from 'node:timers/promises';
import { lockFolder } from '../folder-lock.ts';
import { HostRollout } from './host-rollout.ts';
import { NixSystem } from './nix-system.ts';
import { RolloutFolder, readSettings, type RolloutRecord } from './rollout-files.ts';

const pollMs = 500;

/** Carries out requests, one at a time, until SIGTERM. @param tell told of each step */
export async function runAgent(
  dir: string,
  settingsPath: string,
  tell: (record: RolloutRecord) => void,
): Promise<void> {
  const settings = readSettings(settingsPath);
  const lock = await lockFolder(dir);
  let isStopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => (isStopping = true));
  const rollout = new HostRollout({
    folder: new RolloutFolder(dir),
    host: new NixSystem(settings, dir),
    settings,
    say: tell,
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
