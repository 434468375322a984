/**
 * How the program's processes start Node, read from package.json, where nix/package.nix reads it too. A young
 * generation of the default size is full every few milliseconds under load, and emptying it costs a tenth of all CPU;
 * this one grows to at most 192 MB, on a busy node only. Used wherever tests and benchmarks start what stands for a
 * node.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Manifest {
  readonly config: { readonly nodeFlags: string };
}

const path = join(import.meta.dirname, '../../package.json');
const { config } = JSON.parse(readFileSync(path, 'utf8')) as Manifest;

export const nodeFlags: readonly string[] = config.nodeFlags.split(' ');
