/**
 * The `photon` program: the node roles, `photon init`, and the CLI. What only some commands need is imported when one
 * of them runs: a client is called many times, and half of what the program can load is of no use to it.
 */
import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { callerPath, portNumber } from './cli/cli-options.ts';
import { createCli } from './cli/cli-program.ts';
import { explain } from './cli/cli-session.ts';
import { say, warn } from './cli/terminal-text.ts';
import type { NodeRequest } from './cluster-init.ts';
import type { NodeConfig } from './node-config.ts';
import { addNixAgent } from './nix-agent-commands.ts';
import { addUpgrade } from './upgrade-commands.ts';
import { addUpkeep } from './upkeep-commands.ts';

/** `w1=10.0.0.11`, repeatable. */
const request =
  (role: NodeConfig['role']) =>
  (text: string, before: readonly NodeRequest[] = []): NodeRequest[] => {
    const [node = '', address = '', ...rest] = text.split('=');
    if (node === '' || address === '' || rest.length > 0) throw new InvalidArgumentError('must be NAME=ADDRESS');
    return [...before, { node, role, address }];
  };
const collect = (text: string, before: readonly string[] = []): string[] => [...before, text];

interface InitOptions {
  readonly dir: string;
  readonly cluster: string;
  readonly store?: NodeRequest[];
  readonly controller?: NodeRequest[];
  readonly worker?: NodeRequest[];
  readonly storage?: NodeRequest[];
  readonly allowRoot?: string[];
  readonly allowSource?: string[];
  readonly tenant?: string[];
  readonly storePort: number;
  readonly sentinelPort: number;
  readonly peerPort: number;
  readonly apiPort: number;
}

function addInit(program: Command): void {
  program
    .command('init')
    .description('make the folders of a new cluster: authority, certificates, tokens, one folder per node')
    .requiredOption('--dir <folder>', 'folder to make; must not contain a cluster')
    .requiredOption('--cluster <name>', 'name of the cluster')
    .option('--store <name=address>', 'node that runs the store; three or five: with replicas', request('store'))
    .option('--controller <name=address>', 'controller node, repeatable', request('controller'))
    .option('--worker <name=address>', 'worker node, repeatable', request('worker'))
    .option('--storage <name=address>', 'worker node that takes shared volumes, repeatable', request('worker'))
    .option('--allow-root <folder>', 'folder from which workers may import images, repeatable', collect)
    .option('--allow-source <cidr>', 'private network from which workers may fetch images, repeatable', collect)
    .option('--token <tenant>', 'also make a token for this tenant, repeatable', collect)
    .option('--store-port <number>', 'TCP port of the store', portNumber, 6379)
    .option('--sentinel-port <number>', 'TCP port of the Sentinels of a store with replicas', portNumber, 26_379)
    .option('--peer-port <number>', 'TCP port for links between nodes', portNumber, 7443)
    .option('--api-port <number>', 'TCP port of the control API', portNumber, 7444)
    .action(async (options: InitOptions & { token?: string[] }) => {
      const { initCluster } = await import('./cluster-init.ts');
      const { nodeCertificateDays } = await import('./certificate-authority.ts');
      const { store = [], controller = [], worker = [], storage = [] } = options;
      await initCluster({
        folder: callerPath(options.dir),
        cluster: options.cluster,
        nodes: [...store, ...controller, ...worker, ...storage.map((one) => ({ ...one, storage: true }))],
        allowedRoots: options.allowRoot ?? [],
        allowedSources: options.allowSource ?? [],
        tenants: options.token ?? [],
        listenPorts: {
          store: options.storePort,
          sentinel: options.sentinelPort,
          peer: options.peerPort,
          api: options.apiPort,
        },
      });
      say(`made ${options.dir}: copy nodes/<name> to its computer; use clients/operator.json with photon --as`);
      say(`node certificates last ${nodeCertificateDays} days: photon node renew --dir ${options.dir} renews them`);
    });
}

function addRoles(program: Command): void {
  const roles = {
    store: 'run the store of the cluster',
    controller: 'run a controller node',
    worker: 'run a worker node',
  } as const;
  for (const [role, description] of Object.entries(roles)) {
    program
      .command(role)
      .description(description)
      .requiredOption('--dir <folder>', "the node's own folder, made by photon init")
      .action(async ({ dir }: { dir: string }) => {
        const { runNode } = await import('./node-process.ts');
        try {
          await runNode(callerPath(dir), role as NodeConfig['role']);
        } catch (error) {
          warn(explain(error).text);
          // Open connections would keep the process alive; its supervisor starts it again.
          process.exit(1);
        }
      });
  }
}

function addSupervise(program: Command): void {
  program
    .command('supervise')
    .description("hold a node's addresses, and run its role behind them again and again; where no systemd does")
    .requiredOption('--dir <folder>', "the node's own folder, made by photon init")
    .action(async ({ dir }: { dir: string }) => {
      const { superviseNode } = await import('./node-supervisor.ts');
      superviseNode(callerPath(dir));
    });
}

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
const program = createCli().version(version, '-V, --version', 'print the version of this program');
program.commandsGroup('Nodes and releases:');
addInit(program);
addRoles(program);
addSupervise(program);
addUpgrade(program);
addNixAgent(program);
addUpkeep(program, request, collect);
try {
  await program.parseAsync();
} catch (error) {
  const { text, exitCode } = explain(error);
  warn(text);
  process.exitCode = exitCode;
}
