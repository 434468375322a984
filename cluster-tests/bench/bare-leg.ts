/**
 * Runs bare-leg.sh in namespaces of its own and collects its samples: the reference of the dataplane bench. Nothing of
 * it survives its end: the script is the first process of its process namespace and dies with its parent.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildGuestImage } from '../guest/guest-image.ts';
import { readToolchain } from './toolchain-file.ts';

/** Milliseconds, in the order in which they were taken. */
export type Samples = Readonly<Record<string, readonly number[]>>;

export type BareSteps =
  { readonly leg: 'network' | 'boot'; readonly runs: number } | { readonly leg: 'ports'; readonly count: number };

const enter = `mount -t sysfs sysfs /sys && mount -t tmpfs tmpfs /run && exec bash "$0" "$@"`;

type Environment = Readonly<Record<string, string>>;

async function collect(argv: readonly string[], environment: Environment, timeoutMs: number): Promise<Samples> {
  const script = join(import.meta.dirname, 'bare-leg.sh');
  const flags = ['--net', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child'];
  const child = spawn('unshare', [...flags, 'bash', '-c', enter, script, ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  let output = '';
  let complaint = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  const why = code ?? `not within ${timeoutMs} ms`;
  if (code !== 0) throw new Error(`the bare leg ${argv.join(' ')} failed (${why}): ${complaint.trim()}`);
  const samples: Record<string, number[]> = {};
  const lines = output.matchAll(/^sample (\S+) (\S+)$/gm);
  for (const [, name = '', ms = ''] of lines) (samples[name] ??= []).push(Number(ms));
  return samples;
}

/** @throws Error with the script's own words when a step fails. */
export async function runBareLeg(steps: BareSteps): Promise<Samples> {
  if (steps.leg === 'network') return await collect(['network', String(steps.runs)], {}, 60_000);
  if (steps.leg === 'ports') return await collect(['ports', String(steps.count)], {}, 180_000);
  const toolchain = readToolchain();
  const guest = await buildGuestImage();
  const scratch = mkdtempSync(join(tmpdir(), 'bare-leg-'));
  try {
    const { binary, libDir, libraryPath } = toolchain.qemu;
    const environment = {
      QEMU: binary,
      GUEST: guest.folder,
      SCRATCH: scratch,
      ...(libDir === undefined ? {} : { QEMU_DIR: libDir }),
      ...(libraryPath === undefined ? {} : { LD_LIBRARY_PATH: libraryPath }),
    };
    return await collect(['boot', String(steps.runs)], environment, 60_000 * steps.runs);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}
