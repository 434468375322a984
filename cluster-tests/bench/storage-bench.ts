/**
 * `npm run bench -- storage [--rounds N] [--looks N] [--json FILE]`: a disk in a file of the host, and shared volumes
 * of the same and of another host, against a bare qemu-storage-daemon that serves the same file; then whether one host
 * sees at once what another has written. The legs follow each other in every round. Called by bench-main.ts.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { nodeFlags } from '../harness/node-flags.ts';
import { BenchReport } from './bench-report.ts';
import { runInNamespaces } from './own-namespaces.ts';
import { loadReport, loads, visibilityReport, type Load } from './storage-goals.ts';
import type { StorageAnswer, StorageOrders } from './storage-host-main.ts';

export const storageUsage = 'npm run bench -- storage [--rounds N] [--looks N] [--json FILE]';

const hostProgram = join(import.meta.dirname, 'storage-host-main.ts');
const hostLimitMs = 1_800_000;

function count(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 200)
    throw new Error(`--${name} must be a whole number from 1 to 200; usage: ${storageUsage}`);
  return value;
}

export async function storageBench(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      rounds: { type: 'string', default: '5' },
      looks: { type: 'string', default: '20' },
      json: { type: 'string' },
    },
  });
  const orders: StorageOrders = { rounds: count(values.rounds, 'rounds'), looks: count(values.looks, 'looks') };
  const report = new BenchReport('storage', 'only ratios of one round can be compared');
  try {
    const says = (text: string): void => void process.stderr.write(text);
    const program = [process.execPath, ...nodeFlags, hostProgram, JSON.stringify(orders)];
    const text = await runInNamespaces(program, { timeoutMs: hostLimitMs, says });
    const { rounds, visibility } = JSON.parse(text.trim().split('\n').at(-1) ?? '') as StorageAnswer;
    for (const load of Object.keys(loads) as Load[]) report.add(load, loadReport(load, rounds[load]));
    report.add('visibility', visibilityReport(visibility));
  } catch (error) {
    report.unmeasured('storage', error);
  }
  return report.print(orders, values.json);
}
