/**
 * `npm run demo [-- --once]`: starts a private cloud on this machine, a VM in it and a web page inside the VM, restarts
 * the VM and fetches the page again: same address, same disk, one visit more. Stays until Ctrl-C; with `--once` it
 * deletes the tenant, proves that nothing of it is left, and ends. Several demos can run at the same time.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { launchCluster, type PhotonCluster } from '../cluster/cluster-launch.ts';
import { inspectorUrl } from '../cluster/inspector-link.ts';
import { cliCommand } from '../cluster/photon-commands.ts';
import { isAlive, until } from '../cluster/process-identity.ts';
import { readRecord } from '../cluster/topology-record.ts';
import { residueOf } from '../cluster/residue-check.ts';
import { buildGuestImage } from '../guest/guest-image.ts';
import { fetchPage, readGuest, type GuestFacts } from './guest-page.ts';
import { cliReader, placeOf } from './tenant-view.ts';

const tenant = 'acme';
const vm = 'web-1';
const startedAt = performance.now();
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

function say(line: string): void {
  process.stdout.write(`${seconds(performance.now() - startedAt).padStart(8)}  ${line}\n`);
}

async function step<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
  say(name);
  const at = performance.now();
  const result = await work();
  say(`  done in ${seconds(performance.now() - at)}`);
  return result;
}

/** Runs the CLI and prints its lines as they come. */
async function cliLines(cluster: PhotonCluster, argv: readonly string[]): Promise<void> {
  const [program = '', ...rest] = cliCommand(cluster.clientFile, argv);
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  for (const input of [child.stdout, child.stderr]) createInterface({ input }).on('line', (line) => say(`  ${line}`));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`photon ${argv.join(' ')} ended with status ${code}`);
}

function show(facts: GuestFacts): void {
  const { hostname, addresses, boot_id: boot, volume_serial: serial, count } = facts;
  const where = `${hostname}  ${addresses.join(' ')}  boot ${boot.slice(0, 8)}`;
  say(`  ${where}  volume ${serial ?? 'none'}  visits ${count ?? 'none'}`);
}

/** @param formerBoot id of the boot before a restart; answers of that boot do not count */
async function visit(cluster: PhotonCluster, formerBoot = ''): Promise<GuestFacts> {
  const place = await placeOf(cluster.topology, cliReader(cluster), `vm/${tenant}/${vm}`);
  await until('the guest has booted', async () => (await readGuest(place, 60_000)).boot_id !== formerBoot);
  await fetchPage(place, '/', 60_000);
  const facts = await readGuest(place);
  show(facts);
  return facts;
}

/** @throws Error naming what changed with the restart and should not have, or did not change and should have. */
function compare(before: GuestFacts, after: GuestFacts): void {
  const wrong = [
    before.boot_id === after.boot_id && 'the boot id is the same: it did not restart',
    before.addresses.join() !== after.addresses.join() && `the address changed to ${after.addresses.join()}`,
    before.volume_serial !== after.volume_serial && `the volume's serial changed to ${after.volume_serial}`,
    after.count !== (before.count ?? 0) + 1 && `the count went from ${before.count} to ${after.count}, not up by one`,
  ].filter((reason) => reason !== false);
  if (wrong.length > 0) throw new Error(`after the restart: ${wrong.join('; ')}`);
  say('  the boot is new; address, disk and count are kept');
}

async function tearDown(cluster: PhotonCluster): Promise<void> {
  const things = [
    ['vm', vm],
    ['volume', 'visits'],
    ['image', 'guest-initrd'],
    ['image', 'guest-kernel'],
    ['network', 'front'],
  ];
  for (const [kind = '', name = ''] of things) await cliLines(cluster, ['-t', tenant, 'delete', kind, name]);
  const workers = cluster.nodes.filter((node) => node.role === 'worker').map((node) => node.name);
  let left: string[] = [];
  // A deletion is answered when the objects are gone; the kernel removes a namespace a moment later.
  for (let tries = 0; tries < 50; tries++) {
    left = await residueOf(cluster.topology, workers);
    if (left.length === 0) return say('  nothing of the tenant is left on the workers');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`left behind after everything was deleted:\n  ${left.join('\n  ')}`);
}

async function demo(onceOnly: boolean): Promise<void> {
  const guest = await step('guest image', () => buildGuestImage());
  const cluster = await step('cluster: store, controller, two workers, each in namespaces of its own', () =>
    launchCluster({
      stem: 'demo',
      tenants: [tenant],
      images: { '/run/guest': guest.folder },
      say: (line) => say(`  ${line}`),
    }),
  );
  try {
    say(`inspector  ${await inspectorUrl(cluster)}`);
    const file = join(import.meta.dirname, 'tenant.yaml');
    await step(`photon apply -f ${file}`, () => cliLines(cluster, ['apply', '-f', file, '--wait']));
    const before = await step('the page inside the VM, through its tap', () => visit(cluster));
    await step(`photon vm restart ${vm}`, () => cliLines(cluster, ['-t', tenant, 'vm', 'restart', vm]));
    const after = await step('the page again', () => visit(cluster, before.boot_id));
    compare(before, after);
    if (onceOnly) await step('delete everything', () => tearDown(cluster));
    else await stay(cluster);
  } finally {
    say('stopping the cluster');
    await cluster.topology.stop();
  }
  say('ended, nothing is left');
}

/** Each call says which programs have ended since the call before, and how they are started again. */
function tellEnded({ topology }: PhotonCluster): () => void {
  const told = new Set<number>();
  return () => {
    for (const node of readRecord(topology.prefix)?.nodes ?? [])
      for (const program of node.programs) {
        if (isAlive(program) || told.has(program.pid)) continue;
        told.add(program.pid);
        const again = `npm run cluster -- start ${node.name} --cluster ${topology.prefix}`;
        say(`${node.name}: the ${program.name} ended; \`${again}\` starts it again`);
      }
  };
}

async function stay(cluster: PhotonCluster): Promise<void> {
  const url = await inspectorUrl(cluster);
  cluster.topology.update({ notes: { CLI: `npm run -s photon -- --as ${cluster.clientFile} list` } });
  say(`inspector  ${url}`);
  say(`try        npm run cluster -- status, or ssh w1; npm run -s photon -- --as ${cluster.clientFile} list`);
  say('stays until Ctrl-C');
  const watch = setInterval(tellEnded(cluster), 1000);
  // Until now a signal ended the demo at once. From here on the first signal is the planned end, a second one ends at
  // once.
  const ends = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of ends) process.removeAllListeners(name);
  await Promise.race(ends.map((name) => once(process, name)));
  clearInterval(watch);
  for (const name of ends) process.removeAllListeners(name).once(name, () => process.exit(130));
  process.stdout.write('\n');
}

const usage = `usage: npm run demo [-- --once]
  --once   delete everything at the end, prove that nothing is left, and end`;

try {
  const flag = { type: 'boolean', default: false } as const;
  const { values } = parseArgs({ options: { once: flag, help: { ...flag, short: 'h' } } });
  if (values.help) process.stdout.write(`${usage}\n`);
  else await demo(values.once);
} catch (error) {
  process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
  const isUsage = String((error as { code?: unknown }).code).startsWith('ERR_PARSE_ARGS');
  if (isUsage) process.stderr.write(`${usage}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
// An open handle must not keep the demo running; whatever is left of the cluster is removed on exit.
process.exit();
