/**
 * Runs bare-leg.sh in namespaces of its own and collects its samples: the reference of the dataplane bench. Nothing of
 * it survives its end: the script is the first process of its process namespace and dies with its parent.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildGuestImage } from '../guest/guest-image.ts';
import { runInNamespaces } from './own-namespaces.ts';
import { readToolchain } from './toolchain-file.ts';

/** Milliseconds, in the order in which they were taken. */
export type Samples = Readonly<Record<string, readonly number[]>>;

export type BareSteps =
  | { readonly leg: 'network' | 'boot'; readonly runs: number }
  | { readonly leg: 'ports'; readonly count: number }
  /** In a namespace with the rules of `count` ports. */
  | { readonly leg: 'rules'; readonly runs: number; readonly count: number; readonly rules: number }
  | { readonly leg: 'admit'; readonly runs: number; readonly count: number }
  /** In a set of `count` addresses. */
  | { readonly leg: 'members'; readonly runs: number; readonly count: number };

type Environment = Readonly<Record<string, string>>;

async function collect(argv: readonly string[], environment: Environment, timeoutMs: number): Promise<Samples> {
  const script = join(import.meta.dirname, 'bare-leg.sh');
  const output = await runInNamespaces(['bash', script, ...argv], { environment, timeoutMs }).catch((error: Error) => {
    throw new Error(`the bare leg ${argv.join(' ')} ${error.message}`);
  });
  const samples: Record<string, number[]> = {};
  const lines = output.matchAll(/^sample (\S+) (\S+)$/gm);
  for (const [, name = '', ms = ''] of lines) (samples[name] ??= []).push(Number(ms));
  return samples;
}

/** @throws Error with the script's own words when a step fails. */
export async function runBareLeg(steps: BareSteps): Promise<Samples> {
  if (steps.leg === 'network') return await collect(['network', String(steps.runs)], {}, 60_000);
  if (steps.leg === 'ports') return await collect(['ports', String(steps.count)], {}, 180_000);
  if (steps.leg === 'rules') {
    const { runs, count, rules } = steps;
    return await collect(['rules', ...[runs, count, rules].map(String)], {}, 120_000);
  }
  if (steps.leg === 'admit' || steps.leg === 'members')
    return await collect([steps.leg, String(steps.runs), String(steps.count)], {}, 120_000);
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
