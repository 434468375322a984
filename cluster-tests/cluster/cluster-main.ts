/**
 * `npm run cluster -- VERB`: the six-node cluster that nix/cluster declares, on this machine: its smoke, its demo, and
 * what a person does with it by hand. Clusters are found by their records; while one cluster is running its prefix
 * (`--cluster PREFIX`) may be left out. Several may run side by side.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bootSixNodes } from '../six-node/six-node-boot.ts';
import { readCluster } from '../six-node/declared-cluster.ts';
import { RunRecord } from '../six-node/six-node-run.ts';
import { smokeFaults, type SmokeFault } from '../six-node/smoke-faults.ts';
import { Smoke } from '../six-node/smoke-steps.ts';
import { WebAppDemo } from '../six-node/web-app-steps.ts';
import { roleOf, runningCluster, startNode, type PhotonCluster } from './cluster-launch.ts';
import { startProgram } from './node-program.ts';
import { upgradeCheckCommand } from './photon-commands.ts';
import { isFresh, listPrefixes, readRecord, type ClusterRecord } from './topology-record.ts';
import { inspectorUrl } from './inspector-link.ts';
import { Topology, runningPrefixes } from './cluster-topology.ts';
import { isAlive } from './process-identity.ts';

const faultNames = Object.keys(smokeFaults).join(', ');

const usage = `usage: npm run cluster -- COMMAND [--cluster PREFIX]
  fresh-smoke           from nothing: boot six nodes, try what they are for, break one thing after the other, end it all
    --fault NAME        only this fault; repeatable: ${faultNames}, or none
  fresh-demo-vm-webapp  from nothing: boot six nodes, then as demo-vm-webapp; the cluster is left running
  demo-vm-webapp        on the running cluster: a web app with SQLite keeps every visit over restart and migration
  start                 start the six-node cluster of nix/cluster and leave it running
  start NODE            start the programs of a node again that have ended
  status                every cluster on this machine: nodes, programs, addresses
  logs NODE             the end of a node's logs; -f follows them
  ssh NODE [CMD]        a shell, or one command, inside a node; --cluster goes before ssh; 'CMD | CMD' in quotes is a
                        line for a shell
  stop                  end a cluster, its programs first; with --all, all that were left running
  clean                 remove whatever is left of clusters whose launcher is gone; with --cluster, of that one in any
                        case`;

const print = (line: string): void => void writeSync(1, `${line}\n`);

/** Prefixes of clusters that can be found. */
const recorded = (): string[] => listPrefixes().filter((prefix) => readRecord(prefix) !== undefined);

function thePrefix(given: string | undefined, prefixes: readonly string[] = recorded()): string {
  if (given !== undefined) return given;
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
  const [line, ...rest] = argv;
  if (line === undefined) return ['sh', '-i'];
  if (line === '--') return inNode(rest);
  return rest.length === 0 && /\s/.test(line) ? ['sh', '-c', line] : argv;
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

async function startAgain(topology: Topology, name: string): Promise<void> {
  const node = topology.node(name);
  const ended = node.programs.filter((program) => !isAlive(program));
  if (ended.length === 0) throw new Error(`nothing of ${name} has ended`);
  const role = roleOf(node);
  for (const program of ended) {
    if (program.name === role) await startNode(topology, { name, role });
    else await startProgram(topology, name, program.name, program.argv);
    print(`${name}: ${program.name} started`);
  }
}

async function start(): Promise<void> {
  const { cluster } = await bootSixNodes({ keep: true, say: print, failed: () => undefined });
  noteHowTo(cluster);
  describe(cluster.topology.record);
  print(`  inspector: ${await inspectorUrl(cluster)} (opens once, within 15 minutes)`);
}

/** What `status` shows of a cluster that is left running. */
function noteHowTo({ topology, nodes, relay, clientFile }: PhotonCluster): void {
  const controller = nodes.find((node) => node.role === 'controller')?.name;
  const notes = {
    'control API': relay,
    CLI: `npm run -s photon -- --as ${clientFile} list`,
    'upgrade check': `npm run cluster -- ssh ${controller} ${upgradeCheckCommand.join(' ')}`,
  };
  topology.update({ notes: { ...topology.record.notes, ...notes } });
}

/** @throws Error naming the faults that there are */
function chosenFaults(names: readonly string[] | undefined): SmokeFault[] {
  if (names === undefined) return Object.values(smokeFaults);
  return names
    .filter((name) => name !== 'none')
    .map((name) => {
      const fault = smokeFaults[name];
      if (fault === undefined) throw new Error(`there is no fault ${name}; there are ${faultNames}, and none`);
      return fault;
    });
}

async function freshSmoke(faults: readonly SmokeFault[]): Promise<boolean> {
  const record = new RunRecord('fresh-smoke');
  const smoke = new Smoke(record);
  try {
    return await record.run(smoke.steps(faults), print);
  } finally {
    await smoke.close();
  }
}

async function demo(running: PhotonCluster | undefined): Promise<boolean> {
  const record = new RunRecord(running === undefined ? 'fresh-demo-vm-webapp' : 'demo-vm-webapp');
  const webApp = new WebAppDemo(record);
  let passed = false;
  try {
    passed = await record.run(webApp.steps(running), print);
  } finally {
    await webApp.close();
  }
  const { cluster } = webApp;
  if (cluster === undefined) return passed;
  noteHowTo(cluster);
  const { prefix } = cluster.topology;
  print(`${prefix} goes on running; \`npm run cluster -- stop --cluster ${prefix}\` ends it`);
  print(`  inspector: ${await inspectorUrl(cluster)} (opens once, within 15 minutes)`);
  return passed;
}

async function stop(given: string | undefined, all: boolean): Promise<void> {
  const prefixes = all ? recorded().filter((prefix) => readRecord(prefix)?.kept) : [thePrefix(given)];
  for (const prefix of prefixes) {
    await Topology.find(prefix).stop();
    print(`${prefix} has ended; nothing of it is left`);
  }
  if (prefixes.length === 0) print('no cluster was left running');
}

async function main(): Promise<number> {
  // Everything after `ssh NODE` belongs to that command, options included.
  const given = process.argv.slice(2);
  const own = given.indexOf('ssh') < 0 ? given.length : given.indexOf('ssh') + 2;
  const flag = { type: 'boolean', default: false } as const;
  const options = {
    cluster: { type: 'string' },
    fault: { type: 'string', multiple: true },
    all: flag,
    follow: { ...flag, short: 'f' },
    help: { ...flag, short: 'h' },
  } as const;
  const { values, positionals } = parseArgs({ args: given.slice(0, own), options, allowPositionals: true });
  const [command, node] = positionals;
  const find = (): Topology => Topology.find(thePrefix(values.cluster));
  const theNode = (): string => {
    if (node !== undefined) return node;
    const names = find().record.nodes.map((one) => one.name);
    throw new Error(`${command} needs a node: ${names.join(', ')}`);
  };
  const sixNodes = (): string[] => recorded().filter((prefix) => prefix.startsWith(`${readCluster().name}-`));
  const verbs: Readonly<Record<string, () => Promise<unknown>>> = {
    'fresh-smoke': () => freshSmoke(chosenFaults(values.fault)),
    'fresh-demo-vm-webapp': () => demo(undefined),
    'demo-vm-webapp': () => demo(runningCluster(thePrefix(values.cluster, sixNodes()))),
    start: () => (node === undefined ? start() : startAgain(find(), node)),
    status: async () => status(),
    logs: () => logs(find(), theNode(), values.follow),
    ssh: () => foreground(find().enter(theNode(), inNode(given.slice(own)))),
    stop: () => stop(values.cluster, values.all),
    clean: () => clean(values.cluster),
  };
  const verb = command === undefined ? undefined : verbs[command];
  if (values.help || verb === undefined) {
    print(usage);
    return values.help || command === undefined ? 0 : 2;
  }
  const outcome = await verb();
  if (typeof outcome === 'number') return outcome;
  return outcome === false ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`cluster: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
// An open handle must not keep it running; whatever is left of a cluster that is not kept is removed on exit.
process.exit();
