/**
 * Long-running programs inside the nodes of a topology: starts them with output to a log file, and finds them again by
 * pid and start time. Used by cluster-launch.ts and tests that kill programs. Pids are those outside the node.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { ProgramRecord } from './topology-record.ts';
import type { Topology } from './cluster-topology.ts';
import { childrenOf, identify, isAlive, until } from './process-identity.ts';

/** Path on this machine of a program's log; the node sees it in its own folder. */
export const logPath = (topology: Topology, node: string, program: string): string =>
  join(topology.node(node).folder, 'log', `${program}.log`);

/**
 * Starts `argv` in the node as a process that goes on when this one ends, and ends with its node.
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
  // nsenter forks to enter the process namespace; the program is its child.
  const parent = child.pid ?? 0;
  await until(`${name} starts in ${node}`, () => childrenOf(parent).length > 0 || child.exitCode !== null);
  const [pid] = childrenOf(parent);
  if (pid === undefined) throw new Error(`${name} in ${node} ended at once (${child.exitCode}); its log: ${path}`);
  const record: ProgramRecord = { ...identify(pid), name, argv };
  const before = topology.node(node);
  topology.update({ node: { ...before, programs: [...before.programs.filter((one) => one.name !== name), record] } });
  return record;
}

/** The recorded program, which may have ended. @throws Error when none of that name was started */
export function findProgram(topology: Topology, node: string, name: string): ProgramRecord {
  const found = topology.node(node).programs.find((program) => program.name === name);
  if (found === undefined) throw new Error(`no program ${name} was started in ${node}`);
  return found;
}

export const isRunning = (topology: Topology, node: string, name: string): boolean =>
  isAlive(findProgram(topology, node, name));
