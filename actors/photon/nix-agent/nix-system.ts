/**
 * The programs of Nix and NixOS that a rollout uses, each an argument list: fetch and verify a closure, set a
 * generation, switch to it. Nothing is built here. Called by host-rollout.ts.
 */
import { existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { execa } from 'execa';
import type { RolloutSettings } from './rollout-files.ts';

/** What a rollout asks of a host. Every method throws fault `rollout_step` with what the program has said. */
export interface SystemHost {
  /** Takes the closure from a cache; only what a trusted key has signed. */
  fetch(system: string, from: string): Promise<void>;
  /** Whether the closure is complete, unchanged and signed. */
  verify(system: string): Promise<void>;
  /** From now on no garbage collection takes the closure, until the next one is kept. */
  keep(system: string): Promise<void>;
  /** The system that is active; null when there is none. */
  active(): string | null;
  setProfile(system: string): Promise<void>;
  activate(system: string): Promise<void>;
  check(argv: readonly string[]): Promise<void>;
}

const fetchSeconds = 3600;
const shortSeconds = 300;
const checkSeconds = 30;
const switchUnit = 'photoncloud-switch.service';
/** Written to the record, so not more than a screen of it. */
const saidBytes = 2_000;

/** @throws fault `rollout_step` */
async function run(what: string, argv: readonly string[], seconds: number): Promise<void> {
  const [program = '', ...rest] = argv;
  const { exitCode, timedOut, all } = await execa(program, rest, {
    reject: false,
    all: true,
    stdin: 'ignore',
    timeout: seconds * 1000,
    forceKillAfterDelay: 5_000,
  });
  if (exitCode === 0) return;
  const end = timedOut ? `did not end within ${seconds} s` : `ended with ${exitCode ?? 'a signal'}`;
  throw new PhotonError('fault', 'rollout_step', `${what}: ${program} ${end}: ${(all ?? '').trim().slice(-saidBytes)}`);
}

export class NixSystem implements SystemHost {
  readonly #settings: RolloutSettings;

  readonly #root: string;

  /** @param folder of the agent: the garbage collector's root of the next system is there */
  constructor(settings: RolloutSettings, folder: string) {
    this.#settings = settings;
    this.#root = join(folder, 'next-system');
  }

  /** Builds are refused: what is missing is an error, and never compiled on a host. */
  #nix(...argv: readonly string[]): readonly string[] {
    const keys = this.#settings.trustedPublicKeys.join(' ');
    const options = { 'trusted-public-keys': keys, 'require-sigs': 'true', substituters: '', 'max-jobs': '0' };
    const given = Object.entries(options).flatMap(([name, value]) => ['--option', name, value]);
    return ['nix', '--extra-experimental-features', 'nix-command', ...argv, ...given];
  }

  async fetch(system: string, from: string): Promise<void> {
    await run('fetching the system', this.#nix('copy', '--from', from, system), fetchSeconds);
  }

  async verify(system: string): Promise<void> {
    await run('verifying the system', this.#nix('path-info', '--recursive', system), shortSeconds);
    const argv = this.#nix('store', 'verify', '--recursive', '--sigs-needed', '1', system);
    await run('verifying the system', argv, fetchSeconds);
  }

  async keep(system: string): Promise<void> {
    const argv = ['nix-store', '--add-root', this.#root, '--indirect', '--realise', system];
    await run(
      'keeping the system',
      [...argv, '--option', 'substituters', '', '--option', 'max-jobs', '0'],
      shortSeconds,
    );
  }

  active(): string | null {
    const { current } = this.#settings;
    return existsSync(current) ? realpathSync(current) : null;
  }

  async setProfile(system: string): Promise<void> {
    const argv = ['nix-env', '--profile', this.#settings.profile, '--set', system];
    await run('setting the generation', argv, shortSeconds);
  }

  async activate(system: string): Promise<void> {
    const { switchSeconds } = this.#settings;
    const argv = [join(system, 'bin/switch-to-configuration'), 'switch'];
    if (!existsSync('/run/systemd/system')) return await run('switching', argv, switchSeconds);
    // A switch may restart what started it, so it runs in a unit of its own; one that a dead agent has left is ended.
    await execa('systemctl', ['stop', switchUnit], { reject: false });
    const own = [
      'systemd-run',
      `--unit=${switchUnit}`,
      '--collect',
      '--wait',
      '--pipe',
      '--quiet',
      '--service-type=exec',
    ];
    return await run('switching', [...own, '--', ...argv], switchSeconds);
  }

  async check(argv: readonly string[]): Promise<void> {
    await run('a health check', argv, checkSeconds);
  }
}
