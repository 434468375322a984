/**
 * Nix for tests: evaluations, flakes and builds with a store, a state and a home of their own in a temporary folder,
 * so that nothing below /nix, /etc/nix or a home is read or written and runs beside each other do not meet. There is
 * no nixpkgs here: what is evaluated gets the test double nix/testing in its place. Used by the tests of this folder
 * and by options-page-main.ts.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkout } from '../cluster/photon-commands.ts';

export const testing = join(checkout, 'nix/testing');

/** Why a lane does not run here; undefined when it does. */
export function whyNoNix(): string | undefined {
  const { error } = spawnSync('nix', ['--version'], { stdio: 'ignore' });
  return error === undefined ? undefined : 'nix is not installed (Debian: nix-bin)';
}

/** Builds run in Nix's sandbox, which needs root as set-up of namespaces does. */
export const whyNoBuilds = (): string | undefined =>
  whyNoNix() ?? (process.getuid?.() === 0 ? undefined : 'builds in a sandbox need root');

export interface NixAnswer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface FlakeOptions {
  readonly nixpkgs?: string;
  readonly given?: readonly string[];
}

export class NixPlace {
  readonly folder = mkdtempSync(join(tmpdir(), 'photon-nix-'));
  readonly #env: NodeJS.ProcessEnv;

  /** @param visible further folders of this machine that sandboxed builds see, `inside=outside` */
  constructor(visible: readonly string[] = []) {
    const of = (name: string): string => join(this.folder, name);
    mkdirSync(of('home'));
    this.#env = {
      PATH: process.env['PATH'],
      HOME: of('home'),
      TMPDIR: this.folder,
      NIX_STORE_DIR: of('store'),
      NIX_STATE_DIR: of('state'),
      NIX_LOG_DIR: of('log'),
      NIX_CONF_DIR: of('conf'),
      NIX_PATH: '',
      NIX_CONFIG: [
        'build-users-group =',
        'sandbox = true',
        'sandbox-fallback = false',
        `sandbox-paths = /bin /usr /lib /lib64 ${visible.join(' ')}`,
        'substituters =',
        'flake-registry =',
        'warn-dirty = false',
        'fsync-metadata = false',
        'max-jobs = 1',
        'experimental-features = nix-command flakes',
      ].join('\n'),
    };
  }

  /** What a program that uses this Nix has in its environment. */
  get environment(): NodeJS.ProcessEnv {
    return this.#env;
  }

  /** Forgets everything that is in the store, as on a host that has nothing yet. */
  empty(): void {
    spawnSync('chmod', ['-R', 'u+w', join(this.folder, 'store')], { stdio: 'ignore' });
    for (const name of ['store', 'state', 'home/.cache'])
      rmSync(join(this.folder, name), { recursive: true, force: true });
  }

  run(program: string, argv: readonly string[]): NixAnswer {
    const options = { cwd: checkout, env: this.#env, encoding: 'utf8', maxBuffer: 64 << 20 } as const;
    const { status, stdout, stderr, error } = spawnSync(program, argv, options);
    if (error !== undefined) throw error;
    // Root without the group nixbld, which a store of one's own does not need.
    const said = stderr.replaceAll(/^warning: the group 'nixbld'.*\n/gm, '');
    return { code: status ?? -1, stdout, stderr: said };
  }

  /** @throws Error with what Nix said */
  #must(program: string, argv: readonly string[]): string {
    const { code, stdout, stderr } = this.run(program, argv);
    if (code !== 0) throw new Error(`${program} ${argv.join(' ').slice(0, 400)} ended with ${code}:\n${stderr}`);
    return stdout;
  }

  /** The value of an expression in which `top` is the checkout, and `lib` and `pkgs` those of the test double. */
  evaluate(expression: string): unknown {
    const scope = `top = ${checkout}; lib = import ${testing}/nixpkgs-lib.nix; pkgs = import ${testing}/packages.nix;`;
    const argv = ['--eval', '--strict', '--json', '-E', `let ${scope} in ${expression}`];
    return JSON.parse(this.#must('nix-instantiate', argv));
  }

  parse(path: string): NixAnswer {
    return this.run('nix-instantiate', ['--parse', path]);
  }

  /**
   * A command on a flake of the checkout, with the test double, or another tree, as nixpkgs.
   * @param given what the program that `nix run` starts gets
   */
  flake(argv: readonly string[], { nixpkgs = testing, given = [] }: FlakeOptions = {}): NixAnswer {
    return this.run('nix', [...argv, '--override-input', 'nixpkgs', `path:${nixpkgs}`, '--', ...given]);
  }

  close(): void {
    // What Nix has in its store nobody may write, not even its owner.
    spawnSync('chmod', ['-R', 'u+w', this.folder], { stdio: 'ignore' });
    rmSync(this.folder, { recursive: true, force: true });
  }
}
