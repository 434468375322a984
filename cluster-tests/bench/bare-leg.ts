/**
 * Runs bare-leg.sh or bare-moves.sh in namespaces of its own and collects its samples: the reference of the benches of
 * dataplane, network and VMs. Nothing of it survives its end: the script is the first process of its process namespace
 * and dies with its parent.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keyObject, writeKeyFolder } from '@photoncloud/actors/dataplane/tls-key';
import { buildGuestImage } from '../guest/guest-image.ts';
import { runInNamespaces } from './own-namespaces.ts';
import { readToolchain } from './toolchain-file.ts';

/** For so long each try to fetch the page waits; the product's legs wait as long. */
export const pageTryS = 0.5;

/** Milliseconds, in the order in which they were taken. */
export type Samples = Readonly<Record<string, readonly number[]>>;

export type BareSteps =
  | { readonly leg: 'network' | 'boot'; readonly runs: number }
  /** Moves of one guest, to and fro, with a disk of this size; over TLS, or not. */
  | { readonly leg: 'moves'; readonly runs: number; readonly diskMib: number; readonly tls: boolean }
  | { readonly leg: 'ports'; readonly count: number }
  | { readonly leg: 'batch'; readonly count: number }
  /** In a namespace with the rules of `count` ports. */
  | { readonly leg: 'rules'; readonly runs: number; readonly count: number; readonly rules: number }
  | { readonly leg: 'admit'; readonly runs: number; readonly count: number }
  /** In a set of `count` addresses. */
  | { readonly leg: 'members'; readonly runs: number; readonly count: number };

type Environment = Readonly<Record<string, string>>;

async function collect(
  argv: readonly string[],
  environment: Environment,
  timeoutMs: number,
  program = 'bare-leg.sh',
): Promise<Samples> {
  const script = join(import.meta.dirname, program);
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
  if (steps.leg === 'batch') return await collect(['batch', String(steps.count)], {}, 180_000);
  if (steps.leg === 'rules') {
    const { runs, count, rules } = steps;
    return await collect(['rules', ...[runs, count, rules].map(String)], {}, 120_000);
  }
  if (steps.leg === 'admit' || steps.leg === 'members')
    return await collect([steps.leg, String(steps.runs), String(steps.count)], {}, 120_000);
  return await withGuest(async (environment) =>
    steps.leg === 'moves'
      ? await collect(
          [String(steps.runs)],
          {
            ...environment,
            DISK_MIB: String(steps.diskMib),
            ...(steps.tls ? await tlsEnvironment(environment['SCRATCH'] ?? '') : {}),
          },
          60_000 + 60_000 * steps.runs,
          'bare-moves.sh',
        )
      : await collect(['boot', String(steps.runs)], environment, 60_000 * steps.runs),
  );
}

/** The keys of the product, for a QEMU that is started by hand. */
async function tlsEnvironment(scratch: string): Promise<Environment> {
  const folder = join(scratch, 'key');
  await writeKeyFolder(folder, Buffer.alloc(32, 1));
  const end = (endpoint: 'server' | 'client'): string => JSON.stringify(keyObject('key', endpoint, folder));
  return { TLS_SERVER: end('server'), TLS_CLIENT: end('client') };
}

/** With QEMU, a guest and an empty folder, as the scripts expect them. */
async function withGuest(work: (environment: Environment) => Promise<Samples>): Promise<Samples> {
  const { binary, libDir } = readToolchain().qemu;
  const guest = await buildGuestImage();
  const scratch = mkdtempSync(join(tmpdir(), 'bare-leg-'));
  try {
    return await work({
      QEMU: binary,
      GUEST: guest.folder,
      SCRATCH: scratch,
      PAGE_TRY: String(pageTryS),
      ...(libDir === undefined ? {} : { QEMU_DIR: libDir }),
    });
  } finally {
    rmSync(scratch, { recursive: true });
  }
}
