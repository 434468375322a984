/**
 * A real systemd that runs units of a folder: the manager of a user, in a mount and a process namespace and a control
 * group of its own, because this machine was not booted with systemd. Its sockets are in the network namespace of the
 * test. Used by nix-sockets.test.ts. What it does not prove: settings that only the manager of the system may apply.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '@photoncloud/runtime/journal/redis-for-tests';
import { childrenOf } from '../cluster/process-identity.ts';

const program = '/lib/systemd/systemd';
const hierarchies = '/sys/fs/cgroup';
/** Targets that the manager wants to find. */
const targets = ['default', 'sockets', 'basic', 'sysinit', 'shutdown', 'exit', 'multi-user', 'network-online'];

export function whyNoSystemd(): string | undefined {
  if (process.getuid?.() !== 0) return 'namespaces need root';
  return existsSync(program) ? undefined : 'systemd is not installed';
}

export class RunningSystemd {
  readonly #group = `photon-systemd-${process.pid}`;
  readonly #child: ChildProcess;
  #output = '';

  private constructor(folder: string) {
    for (const target of targets) writeFileSync(join(folder, `${target}.target`), `[Unit]\nDescription=${target}\n`);
    const script = `
      mount -t tmpfs none /run && mkdir -p /run/systemd/system /run/user/0
      export XDG_RUNTIME_DIR=/run/user/0 SYSTEMD_UNIT_PATH=${folder}
      ${program} --user --log-target=console & wait`;
    for (const place of this.#groups()) mkdirSync(place, { recursive: true });
    const joined = this.#groups().map((place) => `echo 0 > ${place}/cgroup.procs`);
    // It ends with this process, also when that is killed.
    const flags = '--mount --propagation private --pid --fork --kill-child --mount-proc';
    const isolated = `exec setpriv --pdeathsig KILL unshare ${flags} sh -c "$0"`;
    this.#child = spawn('sh', ['-c', [...joined, isolated].join('\n'), script], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
  }

  /** @param folder of unit files */
  static async start(folder: string): Promise<RunningSystemd> {
    const made = new RunningSystemd(folder);
    await until('systemd answers', () => made.#systemctl('is-system-running').stdout.trim() !== '', 30_000).catch(
      async (error: unknown) => {
        await made.close();
        throw new Error(`${String(error)}\n${made.#output}`, { cause: error });
      },
    );
    return made;
  }

  /** Of every hierarchy in which this process may make groups. */
  #groups(): string[] {
    return ['systemd', 'unified', 'pids', 'memory']
      .map((name) => join(hierarchies, name))
      .filter((place) => existsSync(join(place, 'cgroup.procs')))
      .map((place) => join(place, this.#group));
  }

  #systemctl(...argv: readonly string[]) {
    const [inner] = childrenOf(this.#child.pid ?? 0);
    const enter = ['-t', String(inner ?? 0), '-m', '-p', 'env', 'XDG_RUNTIME_DIR=/run/user/0'];
    return spawnSync('nsenter', [...enter, 'systemctl', '--user', ...argv], { encoding: 'utf8' });
  }

  /** Runs systemctl. @throws Error with what it and the manager have said */
  systemctl(...argv: readonly string[]): string {
    const { status, stdout, stderr } = this.#systemctl(...argv);
    if (status !== 0) throw new Error(`systemctl ${argv.join(' ')}: ${stderr}\n${this.#output.slice(-4_000)}`);
    return stdout.trim();
  }

  async close(): Promise<void> {
    this.#child.kill('SIGKILL');
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
    for (const place of this.#groups())
      await until(`${place} is removed`, () => {
        try {
          removeGroups(place);
          return true;
        } catch {
          return false; // Its processes are ending.
        }
      });
  }
}

/** A control group with those below it. @throws Error while a process is in one */
export function removeGroups(place: string): void {
  for (const entry of readdirSync(place, { withFileTypes: true }))
    if (entry.isDirectory()) removeGroups(join(place, entry.name));
  rmdirSync(place);
}
