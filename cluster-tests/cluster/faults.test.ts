// needs: kernel
// time limit: 240 s
// test limit: 200 s
/**
 * Three controllers under a steady load while one thing after another is done to them from outside: the cluster keeps
 * its word (load-judge.ts), and somebody who looks only at the worker's kernel never sees a second QEMU of the one VM
 * that runs all the while. A run in which too little was answered is invalid and fails as such.
 * PHOTON_FAULT_ROUNDS=n goes through the list of faults n times; once by default.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { connectPhoton } from '@photoncloud/runtime/client/client';
import { nodeSocketFactory } from '@photoncloud/runtime/client/node-socket';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { buildGuestImage } from '../guest/guest-image.ts';
import { launchCluster, type PhotonCluster } from './cluster-launch.ts';
import { socketIn } from './cluster-topology.ts';
import { CommandLoad } from './command-load.ts';
import { sightOf } from './crash-sight.ts';
import { CrashTenant, tenant } from './crash-tenant.ts';
import { invalidity, wrongsOf, type PortNow } from './load-judge.ts';
import { logPath } from './node-program.ts';
import { killed, parted, stopped, storeKilled, type Fault } from './nemesis.ts';
import { apiSocketName, type PlannedNode } from './photon-commands.ts';

const test = suite('faults');
const controllers = ['c1', 'c2', 'c3'];
const nodes: readonly PlannedNode[] = [
  { name: 's1', role: 'store' },
  ...controllers.map((name) => ({ name, role: 'controller' }) as const),
  { name: 'w1', role: 'worker' },
];
const everybody = nodes.map((node) => node.name);
const others = (node: string): string[] => everybody.filter((name) => name !== node);
/** A controller's sessions have their own rate limit each; these suffice for the rate wanted. */
const sessionsEach = 4;
const wantedPerS = 200;
/** Of one VPC, so their addresses differ. */
const networks = Array.from({ length: 8 }, (_, index) => `busy-${index}`);
const faults: readonly Fault[] = [
  killed('c2'),
  stopped('c3'),
  parted('c2', others('c2')),
  parted('c1', ['c3']),
  storeKilled('s1'),
  killed('w1'),
  killed('c1'),
  stopped('w1'),
];
/** How long a fault lasts: longer than the silence after which a controller's shards are taken over. */
const faultMs = 3_500;
const calmMs = 2_500;

let cluster: PhotonCluster;
let acme: CrashTenant;
let struck = 'nothing';
const rounds = Number(process.env['PHOTON_FAULT_ROUNDS'] ?? 1);
const clients: PhotonClient[] = [];

test.before(async () => {
  const guest = await buildGuestImage();
  cluster = await launchCluster({ stem: 'faults', nodes, images: { '/run/guest': guest.folder } });
  acme = await CrashTenant.open(cluster);
  await acme.declareGround(guest.commandLine);
  for (const [index, name] of networks.entries()) {
    await acme.ask('network.create', name, { subnets: [{ name: 'a', cidr: `10.40.${index}.0/24` }] });
  }
  await acme.ask('vm.create', 'watched', acme.vmParams());
  await acme.reachState(`vm/${tenant}/watched`, /^running$/, 60_000);
  const { token } = JSON.parse(readFileSync(cluster.clientFile, 'utf8')) as { token: string };
  for (const node of controllers) {
    const socketPath = socketIn(cluster.topology, node, apiSocketName);
    for (let session = 0; session < sessionsEach; session++) {
      const openSocket = nodeSocketFactory({ socketPath });
      clients.push(await connectPhoton({ url: 'ws://localhost/api', token, openSocket }));
    }
  }
});

test.after(async () => {
  for (const client of clients) client.close();
  acme?.close();
  await cluster?.topology.stop(0);
});

/** Looks at the worker's kernel until it is told to stop. @returns what was wrong at any look */
function observe(): () => Promise<string[]> {
  const wrong: string[] = [];
  let watching = true;
  const looked = (async () => {
    while (watching) {
      const { machines } = await sightOf(cluster.topology, 'w1');
      const lines = machines.map(({ pid, words }) => `${pid} ${words}`);
      if (lines.length !== 1) wrong.push(`${lines.length} QEMU after ${struck}:\n  ${lines.join('\n  ')}`);
      await pause(200);
    }
  })();
  return async () => {
    watching = false;
    await looked;
    return wrong;
  };
}

async function portsNow(names: Iterable<string>): Promise<Map<string, PortNow>> {
  const now = new Map<string, PortNow>();
  for (const name of names) {
    const id = `port/${tenant}/${name}`;
    const found = await acme.find(id);
    await pause(15); // two reads each, within what one session may ask for
    if (found === undefined) continue;
    const { entries } = await acme.client.call('actor.history', { id, limit: 100 });
    const versions = entries.map((entry) => entry.version);
    now.set(name, { uid: (found.status as { uid: string }).uid, stateName: found.stateName, versions });
  }
  return now;
}

/** What the programs themselves called an error; said when the test fails, because their logs go with the cluster. */
function complaints(): string {
  const lines = nodes.flatMap(({ name, role }) =>
    readFileSync(logPath(cluster.topology, name, role), 'utf8')
      .split('\n')
      .filter((line) => /"level":"?(50|60|error|fatal)/.test(line))
      .slice(-20)
      .map((line) => `${name}: ${line.slice(0, 600)}`),
  );
  return lines.join('\n');
}

/** One fault after the other, each with a calm behind it. */
async function goThrough(load: CommandLoad): Promise<void> {
  for (const fault of faults) {
    const before = load.figures();
    struck = fault.name;
    const heal = await fault.strike(cluster);
    await pause(faultMs);
    await heal();
    await pause(calmMs);
    const { ok, unknown } = load.figures();
    console.log(`${fault.name.padEnd(36)} ${ok - before.ok} ok, ${unknown - before.unknown} unknown`);
  }
}

test('faults of controllers, worker, network and store under load: nothing lost, nothing twice', async () => {
  const load = new CommandLoad({ clients, tenant, networks, commandsPerS: 240, ports: 320 });
  const seen = observe();
  let observed: string[] = [];
  try {
    await pause(calmMs);
    for (let round = 0; round < rounds; round++) await goThrough(load);
    await load.stop(20_000);
  } finally {
    observed = await seen();
  }
  const figures = load.figures();
  console.log(JSON.stringify(figures));
  const names = new Set(load.records.map((record) => record.port));
  const now = await portsNow(names).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${complaints()}`, { cause: error });
  });
  assert.equal(wrongsOf(load.records, now), []);
  assert.equal(observed, [], 'what was seen on the worker');
  await acme.reachState(`vm/${tenant}/watched`, /^running$/);
  assert.is(invalidity(figures, wantedPerS), undefined);
});

test.run();
