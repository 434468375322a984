/** A copy of a store's files, and the way back to it: what an operator does who restores a backup. For tests. */
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { startNode } from './cluster-launch.ts';
import type { Topology } from './cluster-topology.ts';
import { findProgram } from './node-program.ts';
import { isAlive, signal, until } from './process-identity.ts';

/** Copies the files of the store node `s1`. @returns kills the store, restores the copy and starts the store again */
export function copyStore(topology: Topology): () => Promise<void> {
  const { folder } = topology.node('s1');
  const [files, copy] = [join(folder, 'store/appendonlydir'), join(folder, 'copy')];
  cpSync(files, copy, { recursive: true });
  return async () => {
    const program = findProgram(topology, 's1', 'store');
    signal(program, 'SIGKILL');
    await until('the store is gone', () => !isAlive(program));
    rmSync(files, { recursive: true });
    cpSync(copy, files, { recursive: true });
    await startNode(topology, { name: 's1', role: 'store' });
  };
}
