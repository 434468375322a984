/**
 * `npm run cluster -- start [NODE]|status|logs NODE|ssh NODE|stop|clean`: starts and inspects clusters on this machine
 * by hand. Clusters are found by their records; while one cluster is running its prefix (`--cluster PREFIX`) may be
 * left out.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { launchCluster, roleOf, startNode } from './cluster-launch.ts';
import { findProgram, isRunning } from './node-program.ts';
import { upgradeCheckCommand } from './photon-commands.ts';
import { isFresh, listPrefixes, readRecord, type ClusterRecord } from './topology-record.ts';
import { inspectorUrl } from './inspector-link.ts';
import { Topology, runningPrefixes } from './cluster-topology.ts';
import { isAlive } from './process-identity.ts';

const usage = `usage: npm run cluster -- COMMAND [--cluster PREFIX]
  start           start a cluster of one store, one controller and two workers, and leave it running
  start NODE      start the program of a node again that has ended
  status          every cluster on this machine: nodes, programs, addresses
  logs NODE       the end of a node's logs; -f follows them
  ssh NODE [CMD]  a shell, or one command, inside a node; --cluster goes before ssh; 'CMD | CMD' in quotes is a line
                  for a shell
  stop            end a cluster, its programs first
  clean           remove whatever is left of clusters whose launcher is gone; with --cluster, of that one in any case`;

const print = (line: string): void => void writeSync(1, `${line}\n`);

function thePrefix(given: string | undefined): string {
  if (given !== undefined) return given;
  const prefixes = listPrefixes().filter((prefix) => readRecord(prefix) !== undefined);
  const [only] = prefixes;
  if (only !== undefined && prefixes.length === 1) return only;
  const choice = `name one with --cluster: ${prefixes.join(', ')}`;
  throw new Error(prefixes.length === 0 ? 'no cluster is running here' : choice);
}

function describe(record: ClusterRecord): void {
  const gone = record.kept ? 'left running until `stop`' : 'its launcher is gone; `clean` removes it';
  const launcher = isAlive(record.launcher) ? `launched by pid ${record.launcher.pid}` : gone;
  print(`${record.prefix}  since ${record.createdAt}  ${launcher}`);
  for (const node of record.nodes) {
    const programs = node.programs.map((one) => `${one.name} ${isAlive(one) ? `running, pid ${one.pid}` : 'ended'}`);
    const up = isAlive(node.init) ? 'up  ' : 'DOWN';
    print(`  ${node.name.padEnd(6)} ${up} ${node.address.padEnd(12)} ${programs.join('; ')}`);
  }
  for (const relay of record.relays) print(`  relay  ${isAlive(relay) ? 'up  ' : 'DOWN'} ${relay.url}`);
  for (const [name, text] of Object.entries(record.notes)) print(`  ${name}: ${text}`);
}

function status(): void {
  const prefixes = listPrefixes();
  if (prefixes.length === 0) print('no cluster is running here');
  for (const prefix of prefixes) {
    const record = readRecord(prefix);
    if (record === undefined) print(`${prefix}  a folder without a record: \`npm run cluster -- clean\` removes it`);
    else describe(record);
  }
}

async function foreground(argv: readonly string[]): Promise<number> {
  const [program = '', ...rest] = argv;
  // Ctrl-C is for the program in the foreground; this process ends when that one does.
  process.on('SIGINT', () => undefined);
  const child = spawn(program, rest, { stdio: 'inherit' });
  return await new Promise((resolve, reject) => {
    child.once('error', reject).once('close', (code) => resolve(code ?? 1));
  });
}

async function logs(topology: Topology, node: string, follow: boolean): Promise<number> {
  const folder = join(topology.node(node).folder, 'log');
  const files = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  if (files.length === 0) throw new Error(`${node} has no logs yet`);
  return await foreground(['tail', '-n', '100', ...(follow ? ['-F'] : []), ...files]);
}

/** As ssh does it: no command is a shell, and one text with spaces is a line for a shell. */
function inNode(argv: readonly string[]): readonly string[] {
  const [line] = argv;
  if (line === undefined) return ['sh', '-i'];
  return argv.length === 1 && /\s/.test(line) ? ['sh', '-c', line] : argv;
}

/** Whether no launcher will end the cluster: the launcher was killed, or none of its nodes is up. */
function isLeftOver(prefix: string): boolean {
  const record = readRecord(prefix);
  if (record === undefined) return !isFresh(prefix);
  if (isAlive(record.launcher)) return false;
  return !record.kept || !record.nodes.some((node) => isAlive(node.init));
}

async function clean(given: string | undefined): Promise<void> {
  const known = [...new Set([...listPrefixes(), ...runningPrefixes()])];
  const prefixes = given === undefined ? known.filter(isLeftOver) : [given];
  for (const prefix of prefixes) {
    await Topology.clean(prefix);
    print(`${prefix} removed`);
  }
  if (prefixes.length === 0) print('nothing to clean');
}

async function startAgain(topology: Topology, node: string): Promise<void> {
  const role = roleOf(topology.node(node));
  if (isRunning(topology, node, role)) throw new Error(`the ${role} of ${node} is running`);
  await startNode(topology, { name: node, role });
  print(`${node}: ${role} started, pid ${findProgram(topology, node, role).pid}`);
}

async function start(): Promise<void> {
  const cluster = await launchCluster({ stem: 'cluster', keep: true, say: print });
  const show = `npm run -s photon -- --as ${cluster.clientFile} list`;
  const check = `npm run cluster -- ssh c1 ${upgradeCheckCommand.join(' ')}`;
  cluster.topology.update({ notes: { 'control API': cluster.relay, CLI: show, 'upgrade check': check } });
  describe(cluster.topology.record);
  print(`  inspector: ${await inspectorUrl(cluster)} (opens once, within 15 minutes)`);
}

async function main(): Promise<number> {
  // Everything after `ssh NODE` belongs to that command, options included.
  const given = process.argv.slice(2);
  const own = given.indexOf('ssh') < 0 ? given.length : given.indexOf('ssh') + 2;
  const flag = (short: string) => ({ type: 'boolean', short, default: false }) as const;
  const options = { cluster: { type: 'string' }, follow: flag('f'), help: flag('h') } as const;
  const { values, positionals } = parseArgs({ args: given.slice(0, own), options, allowPositionals: true });
  const [command, node] = positionals;
  const argv = given.slice(own);
  const find = (): Topology => Topology.find(thePrefix(values.cluster));
  const theNode = (): string => {
    if (node !== undefined) return node;
    throw new Error(
      `${command} needs a node: ${find()
        .record.nodes.map((one) => one.name)
        .join(', ')}`,
    );
  };
  if (values.help) print(usage);
  else if (command === 'start') await (node === undefined ? start() : startAgain(find(), node));
  else if (command === 'status') status();
  else if (command === 'logs') return await logs(find(), theNode(), values.follow);
  else if (command === 'ssh') return await foreground(find().enter(theNode(), inNode(argv)));
  else if (command === 'stop') await find().stop();
  else if (command === 'clean') await clean(values.cluster);
  else {
    print(usage);
    return command === undefined ? 0 : 2;
  }
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`cluster: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
