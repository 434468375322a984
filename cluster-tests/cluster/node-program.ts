/**
 * Long-running programs inside the nodes of a topology: start with output to a log file, find again, signal by pid
 * and start time. Called by the launcher, the demo and tests that kill programs. Pids are those of this machine,
 * outside the node.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { ProgramRecord } from './topology-record.ts';
import type { Topology } from './cluster-topology.ts';
import { childrenOf, identify, isAlive, until } from './process-identity.ts';

/** Where a program's output goes, on this machine; the node sees it below its own folder. */
export const logPath = (topology: Topology, node: string, program: string): string =>
  join(topology.node(node).folder, 'log', `${program}.log`);

/**
 * Starts `argv` in the node, apart from this process: it goes on when this one ends, and ends with its node.
 * @param name names the program in records and its log; starting it again replaces the record and appends to the log.
 * @throws Error when the node is down or the program ended at once.
 */
export async function startProgram(
  topology: Topology,
  node: string,
  name: string,
  argv: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<ProgramRecord> {
  const path = logPath(topology, node, name);
  mkdirSync(join(path, '..'), { recursive: true });
  const log = openSync(path, 'a');
  const [program = '', ...rest] = topology.enter(node, argv);
  const env = { ...process.env, ...environment };
  const child = spawn(program, rest, { detached: true, stdio: ['ignore', log, log], env });
  closeSync(log);
  child.unref();
  await new Promise<void>((resolve, reject) => child.once('spawn', () => resolve()).once('error', reject));
  // nsenter forks to enter the process namespace and waits; the program is its child.
  const parent = child.pid ?? 0;
  await until(`${name} starts in ${node}`, () => childrenOf(parent).length > 0 || child.exitCode !== null);
  const [pid] = childrenOf(parent);
  if (pid === undefined) throw new Error(`${name} in ${node} ended at once (${child.exitCode}); its log: ${path}`);
  const record: ProgramRecord = { ...identify(pid), name, argv };
  const before = topology.node(node);
  topology.update({ node: { ...before, programs: [...before.programs.filter((one) => one.name !== name), record] } });
  return record;
}

/** The recorded program, dead or alive. @throws Error when none of that name was started. */
export function findProgram(topology: Topology, node: string, name: string): ProgramRecord {
  const found = topology.node(node).programs.find((program) => program.name === name);
  if (found === undefined) throw new Error(`no program ${name} was started in ${node}`);
  return found;
}

export const isRunning = (topology: Topology, node: string, name: string): boolean =>
  isAlive(findProgram(topology, node, name));
