/**
 * `npm run bench -- dataplane [--bare] [--runs N] [--ports N]`: compares photoncloud with the bare kernel, dnsmasq and
 * QEMU, in one run on one machine. `npm run bench -- network`: ports and security groups (network-bench.ts).
 * `npm run bench -- vm`: VMs that start and move (vm-bench.ts). `npm run bench -- storage`: local and shared volumes
 * (storage-bench.ts). `npm run bench -- runtime`: compares actors with the bare store (runtime-bench.ts). All print a
 * table and, as the last line, JSON; they end with status 0 when every target holds, 1 when one is missed, 2 when it
 * could not be measured. `--bare` runs the bare leg alone.
 */
import { parseArgs } from 'node:util';
import { runBareLeg, type Samples } from './bare-leg.ts';
import { figureTable, growth, holds, summarize, targetTable, type Target } from './bench-figures.ts';
import { networkBench, networkUsage } from './network-bench.ts';
import { runProductLeg, type ProductFigures } from './product-leg.ts';
import { bareNetworkAndPort, networkLimit } from './product-steps.ts';
import { runtimeBench, runtimeUsage } from './runtime-bench.ts';
import { storageBench, storageUsage } from './storage-bench.ts';
import { vmBench, vmUsage } from './vm-bench.ts';

const usage =
  'usage: npm run bench -- dataplane [--bare] [--runs N] [--ports N], ' +
  `${networkUsage}, ${vmUsage}, ${storageUsage}, or ${runtimeUsage}`;
const say = (line: string): void => void process.stderr.write(`${line}\n`);

interface BareFigures {
  readonly network: Samples;
  readonly boot: Samples;
  readonly ports: Samples;
}

async function bareFigures(runs: number, ports: number): Promise<BareFigures> {
  say(`bare: network and port, ${runs} times`);
  const network = await runBareLeg({ leg: 'network', runs });
  say('bare: boot to HTTP, 3 times');
  const boot = await runBareLeg({ leg: 'boot', runs: Math.min(runs, 3) });
  say(`bare: ${ports} ports`);
  return { network, boot, ports: await runBareLeg({ leg: 'ports', count: ports }) };
}

const median = (samples: Samples, name: string): number => summarize(samples[name] ?? []).median;

function targetsOf(bare: BareFigures, product: ProductFigures): Target[] {
  const { samples } = product;
  const network = bareNetworkAndPort(bare.network);
  const boot = median(bare.boot, 'first_boot_to_http');
  const bareGrowth = growth(bare.ports['port'] ?? []);
  return [
    {
      name: 'network and port declared to READY',
      unit: 'ms',
      product: median(samples, 'network_and_port'),
      bare: network,
      limit: networkLimit.of(network),
      rule: networkLimit.rule,
    },
    {
      name: 'VM declared to HTTP 200',
      unit: 'ms',
      product: median(samples, 'vm_to_http'),
      bare: boot,
      limit: 1.15 * boot,
      rule: '1.15 x bare',
    },
    {
      name: 'growth per port, first to last tenth',
      unit: 'x',
      product: growth(samples['port'] ?? []),
      bare: bareGrowth,
      limit: 1.2 * bareGrowth,
      rule: '1.2 x bare',
    },
    {
      name: 'controller when idle',
      unit: '%',
      product: product.controllerIdlePercent,
      bare: null,
      limit: 1,
      rule: 'of one CPU',
    },
  ];
}

async function dataplane(runs: number, ports: number, bareOnly: boolean): Promise<number> {
  const bare = await bareFigures(runs, ports);
  process.stdout.write(`bare\n${figureTable({ ...bare.network, ...bare.boot, ...bare.ports })}\n`);
  if (bareOnly) {
    process.stdout.write(`${JSON.stringify({ bare })}\n`);
    return 0;
  }
  const product = await runProductLeg({ runs, ports, idleSeconds: 10, say });
  const targets = targetsOf(bare, product);
  process.stdout.write(`product\n${figureTable(product.samples)}\n\n${targetTable(targets)}\n`);
  const judged = targets.map((target) => ({ ...target, holds: holds(target) }));
  process.stdout.write(`${JSON.stringify({ targets: judged, bare, product })}\n`);
  return targets.every(holds) ? 0 : 1;
}

function positive(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} must be a whole number above 0; ${usage}`);
  return value;
}

async function dataplaneBench(argv: string[]): Promise<number> {
  const { values } = parseArgs({
    args: argv,
    options: {
      bare: { type: 'boolean', default: false },
      runs: { type: 'string', default: '7' },
      ports: { type: 'string', default: '200' },
    },
  });
  return dataplane(positive(values.runs, 'runs'), positive(values.ports, 'ports'), values.bare);
}

try {
  const [which, ...argv] = process.argv.slice(2);
  if (which === 'dataplane') process.exitCode = await dataplaneBench(argv);
  else if (which === 'network') process.exitCode = await networkBench(argv);
  else if (which === 'vm') process.exitCode = await vmBench(argv);
  else if (which === 'storage') process.exitCode = await storageBench(argv);
  else if (which === 'runtime') process.exitCode = await runtimeBench(argv);
  else throw new Error(usage);
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
