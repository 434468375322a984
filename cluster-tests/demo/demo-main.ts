/**
 * `npm run demo [-- --once]`: starts a private cloud on this machine, a VM in it and a web page inside the VM, fetches
 * the page from outside, through gateway host and service IP, restarts the VM and fetches the page again: same address,
 * same disk, one visit more. Then it moves the VM to the other worker while the page is visited without a pause. Stays
 * until Ctrl-C; with `--once` it deletes the tenant, proves that nothing of it is left, and ends. Several demos can run
 * at the same time.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { launchCluster, photonLines, type PhotonCluster } from '../cluster/cluster-launch.ts';
import { inspectorUrl } from '../cluster/inspector-link.ts';
import { checkout } from '../cluster/photon-commands.ts';
import { isAlive, until } from '../cluster/process-identity.ts';
import { readRecord } from '../cluster/topology-record.ts';
import { residueOf } from '../cluster/residue-check.ts';
import { buildGuestImage } from '../guest/guest-image.ts';
import {
  answersAt,
  changesOf,
  fetchPage,
  readGuest,
  visitGuest,
  type GuestFacts,
  type GuestPlace,
} from './guest-page.ts';
import { publicPlace } from './tenant-view.ts';

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
const cliLines = (cluster: PhotonCluster, argv: readonly string[]): Promise<void> =>
  photonLines(cluster.clientFile, argv, (line) => say(`  ${line}`));

function show(facts: GuestFacts): void {
  const { hostname, addresses, boot_id: boot, volume_serial: serial, count } = facts;
  const where = `${hostname}  ${addresses.join(' ')}  boot ${boot.slice(0, 8)}`;
  say(`  ${where}  volume ${serial ?? 'none'}  visits ${count ?? 'none'}`);
}

/** What no rule of the VM's security group admits is not let in: a service IP that leads there changes nothing. */
async function knock(place: GuestPlace): Promise<void> {
  if (await answersAt(place, 22)) throw new Error(`port 22 of ${place.address} was answered`);
  say('  port 22 of the same address is not answered: security group web admits port 80 alone');
}

/** @param formerBoot id of the boot before a restart; answers of that boot do not count */
async function visit(place: GuestPlace, formerBoot = ''): Promise<GuestFacts> {
  await until('the guest has booted', async () => (await readGuest(place, 60_000)).boot_id !== formerBoot);
  await fetchPage(place, '/', 60_000);
  const facts = await readGuest(place);
  show(facts);
  return facts;
}

/**
 * @param visits made in between, the last one with `after`
 * @throws Error naming what changed and should not have, or did not change and should have
 */
function compare(before: GuestFacts, after: GuestFacts, boot: 'a new boot' | 'the same boot', visits: number): void {
  const wrong = changesOf(before, after, boot);
  const wanted = (before.count ?? 0) + visits;
  if (after.count !== wanted) wrong.push(`the count went from ${before.count} to ${after.count}, not to ${wanted}`);
  if (wrong.length > 0) throw new Error(`${vm} is not as it should be: ${wrong.join('; ')}`);
  const kept = boot === 'a new boot' ? 'the boot is new; address, disk and count' : 'boot, address, disk and count';
  say(`  ${kept} are kept`);
}

/** Visits the page one time after the other while `work` goes on. @throws Error when a visit is not answered */
async function visitedDuring(place: GuestPlace, work: () => Promise<void>): Promise<number> {
  let hasEnded = false;
  let visits = 0;
  let longestMs = 0;
  const visitAll = async (): Promise<void> => {
    while (!hasEnded) {
      const at = performance.now();
      await visitGuest(place);
      visits += 1;
      longestMs = Math.max(longestMs, performance.now() - at);
    }
  };
  await Promise.all([visitAll(), work().finally(() => (hasEnded = true))]);
  say(`  ${visits} visits meanwhile, all answered, the slowest within ${seconds(longestMs)}`);
  return visits;
}

async function tearDown(cluster: PhotonCluster): Promise<void> {
  const things = [
    ['vm', vm],
    ['external-address', 'page'],
    ['service-ip', 'page'],
    ['router', 'edge'],
    ['volume', 'visits'],
    ['image', 'guest-initrd'],
    ['image', 'guest-kernel'],
    ['network', 'front'],
  ];
  for (const [kind = '', name = ''] of things) await cliLines(cluster, ['-t', tenant, 'delete', kind, name]);
  await cliLines(cluster, ['-t', 'system', 'delete', 'external-network', 'internet']);
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
  const cluster = await step(
    'cluster: store, controller, two workers that are gateways too, each in namespaces of its own',
    () =>
      launchCluster({
        stem: 'demo',
        tenants: [tenant],
        uplinks: ['w1', 'w2'],
        images: { '/run/guest': guest.folder },
        say: (line) => say(`  ${line}`),
      }),
  );
  try {
    say(`inspector  ${await inspectorUrl(cluster)}`);
    const own = ['tenant.yaml', 'volume.yaml'].map((name) => join(import.meta.dirname, name));
    for (const files of [[join(checkout, 'docs/examples/internet.yaml')], own]) {
      const named = files.flatMap((file) => ['-f', file]);
      await step(`photon apply ${named.join(' ')}`, () => cliLines(cluster, ['apply', ...named, '--wait']));
    }
    const place = await publicPlace(cluster, `external-address/${tenant}/page`);
    say(`  curl http://${place.address}/`);
    const before = await step('the page from outside, through gateway, service IP and tap', () => visit(place));
    await knock(place);
    await step(`photon vm restart ${vm}`, () => cliLines(cluster, ['-t', tenant, 'vm', 'restart', vm]));
    const after = await step('the page again', () => visit(place, before.boot_id));
    compare(before, after, 'a new boot', 1);
    const visits = await step(`photon vm migrate ${vm}, and the page is visited all the time`, () =>
      visitedDuring(place, () => cliLines(cluster, ['-t', tenant, 'vm', 'migrate', vm])),
    );
    const moved = await step('the page again, from the other worker', () => visit(place));
    compare(after, moved, 'the same boot', visits + 1);
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
