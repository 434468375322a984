/**
 * `attacks-main.ts [TEXT...]`: one tenant, or strangers, attack a cluster of processes (a store, a controller, two
 * workers) as in docs/threats.md, and others measure meanwhile. Prints for each figure what it was in calm, under the
 * attack, and what is allowed; status 1 when one is missed. With texts only the attacks whose names contain one, in
 * their order. `npm run campaign -- attacks` runs it.
 *
 * Crowds and witnesses run in the network namespace of a worker, from where the controller's TLS port can be reached.
 * So this program starts itself there, with `--inside PREFIX`, once the cluster is up.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { aligned } from '../bench/bench-figures.ts';
import type { CrowdPlan, Deeds } from './attack-crowd.ts';
import { attacks, type Attack, type Crowd, type Figure, type Stage } from './attack-list.ts';
import { Witness } from './attack-witness.ts';
import { clientsFolder, launchCluster } from './cluster-launch.ts';
import { Topology } from './cluster-topology.ts';
import { command, openClient, underlayPath } from './overlay-guests.ts';
import { until } from './process-identity.ts';

const tenants = ['greedy', 'modest'];
const { values, positionals: texts } = parseArgs({ options: { inside: { type: 'string' } }, allowPositionals: true });
const strange = texts.find((part) => !attacks.some(({ name }) => name.includes(part)));
if (strange !== undefined)
  throw new Error(`there is no attack ${strange}, but ${attacks.map(({ name }) => name).join('; ')}`);

/** Starts the cluster, then this program in the network of a worker. @returns its exit status */
async function launch(): Promise<number> {
  const cluster = await launchCluster({ stem: 'attacks', tenants });
  const { topology } = cluster;
  try {
    const operator = await openClient(cluster, cluster.clientFile);
    for (const tenant of tenants) {
      await command(operator, 'create', `tenant/${tenant}/${tenant}`);
      const vpc = { id: `vpc/${tenant}/main` };
      const isReady = async (): Promise<boolean> => (await operator.call('actor.get', vpc)).stateName === 'ready';
      await until(`${vpc.id} is ready`, () => isReady().catch(() => false));
      await command(operator, 'create', `network/${tenant}/front`, { subnets: [{ cidr: '10.20.0.0/20' }] });
    }
    operator.close();
    const argv = [`--net=${underlayPath(cluster, 'w2')}`, process.execPath, import.meta.filename];
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: join(clientsFolder(topology.prefix), 'ca.crt') };
    const child = spawn('nsenter', [...argv, '--inside', topology.prefix, ...texts], { stdio: 'inherit', env });
    endWith(child);
    const [code] = (await once(child, 'close')) as [number | null];
    return code ?? 1;
  } finally {
    await topology.stop(0);
  }
}

const endWith = (child: ChildProcess): void => void process.once('exit', () => child.kill('SIGKILL'));

async function attack(witness: Witness, { crowd, count, forMs }: Crowd): Promise<Deeds> {
  const { address } = witness;
  const plan: CrowdPlan = { crowd, count, forMs, address, tenant: 'greedy', token: witness.token('greedy') };
  const main = join(import.meta.dirname, 'attack-crowd-main.ts');
  const child = spawn(process.execPath, [main, JSON.stringify(plan)], { stdio: ['ignore', 'pipe', 'inherit'] });
  endWith(child);
  const deeds = JSON.parse(await text(child.stdout)) as Deeds;
  const load = loadavg().map((value) => value.toFixed(1));
  console.log(`  ${crowd}: ${JSON.stringify(deeds)}; load average ${load.join(' ')}`);
  return deeds;
}

const cell = (value: number | null, unit: string): string =>
  value === null || Number.isNaN(value) ? '-' : `${value.toFixed(0)} ${unit}`.trimEnd();
const isMissed = ({ under, allowed }: Figure): boolean => under > allowed;
const verdict = (figure: Figure): string =>
  Number.isNaN(figure.under) ? 'not known' : isMissed(figure) ? 'MISSED' : 'holds';

const table = (results: readonly (readonly [Attack, readonly Figure[]])[]): string =>
  aligned([
    ['attack', 'figure', 'calm', 'under attack', 'allowed', ''],
    ...results.flatMap(([{ name }, figures]) =>
      figures.map((figure) => [
        name,
        figure.name,
        cell(figure.calm, figure.unit),
        cell(figure.under, figure.unit),
        cell(figure.allowed, figure.unit),
        verdict(figure),
      ]),
    ),
  ]);

/** Runs the attacks one after the other. @returns the exit status */
async function judge(prefix: string): Promise<number> {
  const witness = new Witness(Topology.find(prefix));
  const [operator, modest] = [await witness.session('operator'), await witness.session('modest')];
  const stage: Stage = { witness, operator, modest, attack: (crowd) => attack(witness, crowd) };
  const results: [Attack, readonly Figure[]][] = [];
  const wanted = texts.flatMap((part) => attacks.filter(({ name }) => name.includes(part)));
  for (const one of texts.length === 0 ? attacks : wanted) {
    console.log(one.name);
    const failed = (error: unknown): Figure[] => [{ name: String(error), unit: '', calm: 0, under: 1, allowed: 0 }];
    results.push([one, await one.run(stage).catch(failed)]);
  }
  console.log(`\n${table(results)}`);
  operator.close();
  modest.close();
  const missed = results.flatMap(([, figures]) => figures).filter(isMissed);
  return missed.length > 0 ? 1 : 0;
}

process.exit(values.inside === undefined ? await launch() : await judge(values.inside));
