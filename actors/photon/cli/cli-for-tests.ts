/**
 * Test support: the real `photon` program as a process, against a control API on loopback whose store is in memory and
 * whose kinds are those of the cloud.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ActorDefinition, ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import { startTestApi, type TestApi, type TestApiOptions } from '@photoncloud/runtime/control-api/api-for-tests';
import { noAgent, noDataplane, noDeployer, noHosts, noRollouts } from '../no-dataplane.ts';
import { createRegistry } from '../../registry.ts';

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const program = join(import.meta.dirname, '../photon-main.ts');

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Runs on a terminal, so stdout holds both outputs. */
  readonly terminal?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  readonly folder?: string;
  readonly input?: string;
  /** Closes the reading end of stdout after the first output, as `head` does. */
  readonly head?: boolean;
  readonly principal?: string;
}

/** A command that has not ended by then hangs. */
const longestMs = 60_000;

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** The kinds of the cloud; `view` replaces what their actors show. */
export function cloudRegistry(view?: ActorDefinition['view']): ActorRegistry {
  const { kinds } = createRegistry(noDataplane, noAgent, noHosts, noDeployer, noRollouts);
  if (view === undefined) return { kinds };
  return { kinds: new Map([...kinds].map(([kind, definition]) => [kind, { ...definition, view }])) };
}

export class CliForTests {
  readonly api: TestApi;
  readonly folder = mkdtempSync(join(tmpdir(), 'photon-cli-'));

  private constructor(api: TestApi) {
    this.api = api;
  }

  static async start(options: TestApiOptions = {}, view?: ActorDefinition['view']): Promise<CliForTests> {
    return new CliForTests(
      await startTestApi({ ...options, more: { registry: cloudRegistry(view), ...options.more } }),
    );
  }

  async stop(): Promise<void> {
    await this.api.stop();
    rmSync(this.folder, { recursive: true });
  }

  /** @returns the path of a file with this text, in the folder of this test */
  file(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  clientFile(principal: string): string {
    return this.file(`${principal}.json`, JSON.stringify({ url: this.api.url, token: `${principal}-token` }));
  }

  async run(argv: readonly string[], options: RunOptions = {}): Promise<Ended> {
    const { terminal = false, head = false, principal = 'root', input = '' } = options;
    const whole = [process.execPath, program, '--as', this.clientFile(principal), ...argv];
    const [command = '', ...rest] = terminal ? ['script', '-qefc', whole.map(quoted).join(' '), '/dev/null'] : whole;
    const env = { ...process.env, ...options.env };
    for (const name of ['PHOTON_CLIENT', 'PHOTON_TENANT', 'INIT_CWD', 'NO_COLOR']) {
      if (options.env?.[name] === undefined) delete env[name];
    }
    const child = spawn(command, rest, { cwd: options.folder ?? this.folder, env, stdio: 'pipe' });
    const out = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].on('data', (chunk: Buffer) => {
        out[name] += chunk.toString('utf8');
        if (head && name === 'stdout') child.stdout.destroy();
      });
    }
    child.stdin.on('error', () => undefined).end(input);
    const timer = setTimeout(() => child.kill('SIGKILL'), longestMs);
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    clearTimeout(timer);
    return { code, ...out };
  }
}
