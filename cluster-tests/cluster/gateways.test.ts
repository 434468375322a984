/**
 * A tenant's way out on the real kernel: a router and an external address through two gateway hosts, seen by the guest
 * and from outside. The gateway host that leads dies, and the other one takes over. Echoes are the judge; what the
 * product reports only says which host leads.
 */
// needs: kernel
// time limit: 240 s
// test limit: 100 s
import { setTimeout as pause } from 'node:timers/promises';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { TapGuest } from '../harness/tap-guest.ts';
import { launchCluster, photonCli, type PhotonCluster } from './cluster-launch.ts';
import { outside } from './cluster-topology.ts';
import * as guests from './overlay-guests.ts';
import type { BoundPort } from './overlay-guests.ts';
import { publicNetwork } from './outside-guest.ts';
import { signal, until } from './process-identity.ts';

const test = suite('gateways');
const network = 'external-network/system/public';
const address = 'external-address/acme/web';
const declared = { ...publicNetwork, tenants: ['acme'] };

let cluster: PhotonCluster;
let client: PhotonClient;
let port: BoundPort;
let guest: TapGuest;

interface Read {
  readonly stateName: string;
  readonly reason?: string;
  readonly status: Readonly<Record<string, unknown>> & {
    readonly generation: number;
    readonly observedGeneration: number;
  };
}

const read = async (id: string): Promise<Read> => (await client.call('actor.get', { id })) as unknown as Read;

async function untilProven(id: string, state: RegExp): Promise<Read> {
  let last: Read | undefined;
  const isProven = async (): Promise<boolean> => {
    last = await read(id);
    return state.test(last.stateName) && last.status.observedGeneration === last.status.generation;
  };
  await until(`${id} is proven`, isProven, 30_000).catch((error: unknown) => {
    throw new Error(`${String(error)}; it is ${last?.stateName}: ${last?.reason} ${JSON.stringify(last?.status)}`);
  });
  return last as Read;
}

/** Whether the outside gets an answer from an address. */
const answers = async (to: string): Promise<boolean> =>
  /1 received/.test(await cluster.topology.exec(outside.node, ['ping', '-c1', '-W1', to]).catch(String));

test.before(async () => {
  const workers = ['w1', 'w2', 'w3'].map((name) => ({ name, role: 'worker' }) as const);
  const nodes = [{ name: 's1', role: 'store' }, { name: 'c1', role: 'controller' }, ...workers] as const;
  cluster = await launchCluster({ stem: 'gates', nodes, uplinks: publicNetwork.hosts, tenants: ['acme', 'beta'] });
  client = await guests.openClient(cluster, cluster.clientFile);
  await guests.command(client, 'create', network, declared);
  for (const tenant of ['acme', 'beta']) await guests.command(client, 'create', `tenant/${tenant}/${tenant}`);
  await guests.command(client, 'create', 'network/acme/front', { subnets: [{ name: 'web', cidr: '10.20.0.0/24' }] });
  const open = { rules: [{ direction: 'egress' }, { direction: 'ingress', protocol: 'icmp' }] };
  await guests.command(client, 'create', 'security-group/acme/open', open);
  port = await guests.bindPort(cluster, client, 'port/acme/web', 'w3', { network: 'front', securityGroups: ['open'] });
  guest = await guests.openSettledGuest(port);
});

test.after(async () => {
  await guest?.close();
  client?.close();
  await cluster?.topology.stop(0);
});

test('the preferred gateway host leads, and the other one listens', async () => {
  const { status } = await untilProven(network, /^ready$/);
  assert.equal([status['active'], status['standby']], ['w1', 'w2']);
});

test('a tenant without a grant cannot tell the external network from one that does not exist', async () => {
  const beta = await guests.openClient(cluster, cluster.tenantFile('beta'));
  const refusal = (name: string) =>
    guests.command(beta, 'create', 'router/beta/r', { external: { network: name } }).then(
      () => 'created',
      (error: Error) => error.message.replaceAll(name, 'X'),
    );
  const [granted, unknown] = [await refusal('public'), await refusal('nothing')];
  beta.close();
  assert.match(unknown, /there is no external-network\/system\/X that beta may use/);
  assert.is(granted, unknown);
});

test('a guest reaches the outside through its router, and is reached at its external address', async () => {
  const { snatAddress } = (await guests.command(client, 'create', 'router/acme/r', {
    external: { network: 'public' },
  })) as { snatAddress: string };
  assert.is(snatAddress, '203.0.113.10');
  await untilProven('router/acme/r', /^ready$/);
  await until('the guest reaches the outside', async () => {
    const report = await guest.ping(outside.address, { count: 1, timeoutMs: 500 });
    return report.received === 1;
  });
  const made = (await guests.command(client, 'create', address, {
    network: 'public',
    target: { port: 'web' },
  })) as { address: string };
  assert.is(made.address, '203.0.113.11');
  await untilProven(address, /^attached$/);
  await until('the outside reaches the guest', () => answers(made.address));
  const list = await photonCli(cluster.clientFile, ['list', 'external-address', '-t', 'acme'], 15_000);
  assert.match(
    list,
    /external-address\/acme\/web\s+attached.*public\s+203\.0\.113\.11\s+port\/web\s+10\.20\.0\.\d+\s+vpc\/acme\/main/,
  );
});

test('photon ipam lists the addresses of an external network with their owners, and all records agree', async () => {
  const ipam = (verb: string, ...more: string[]) =>
    photonCli(cluster.clientFile, ['ipam', verb, 'external-network/public', ...more], 60_000);
  const { used, all, addresses } = JSON.parse(await ipam('list', '-o', 'json')) as Record<string, unknown>;
  assert.equal([used, all], [2, 11]);
  assert.equal(addresses, [
    { address: '203.0.113.10', owner: 'router/acme/r' },
    { address: '203.0.113.11', owner: address },
  ]);
  assert.match(await ipam('list'), /address\s+owner\n203\.0\.113\.10\s+router\/acme\/r\n/i);
  assert.match(await ipam('verify'), '2 of 11 addresses allocated to 2 routers and external addresses, 0 problems');
});

test('a network and the external network of its router may not overlap, whichever comes last', async () => {
  const refusal = (id: string, spec: object) =>
    guests.command(client, 'create', id, spec).then(String, (error: Error) => error.message);
  const overlapping = { subnets: [{ cidr: '203.0.113.0/26' }] };
  assert.match(
    await refusal('network/acme/wide', overlapping),
    /113\.0\/26 overlaps 203\.0\.113\.0\/24 of external-network\/system\/public, which router\/acme\/r leads to/,
  );
  await guests.command(client, 'create', 'vpc/acme/other');
  await guests.command(client, 'create', 'network/acme/wide', { ...overlapping, vpc: 'other' });
  assert.match(
    await refusal('router/acme/other', { vpc: 'other', external: { network: 'public' } }),
    /203\.0\.113\.0\/24 of external-network\/system\/public overlaps 203\.0\.113\.0\/26 of network\/acme\/wide/,
  );
  assert.match(
    await refusal('router/acme/both', {
      external: { network: 'public' },
      routes: [{ destination: '0.0.0.0/0', via: 'blackhole' }],
    }),
    /0\.0\.0\.0\/0 leads through public; leave out the route, or the external network/,
  );
});

test('what is in use is not deleted, and says by what', async () => {
  const refusal = (id: string) => guests.command(client, 'delete', id).then(String, (error: Error) => error.message);
  assert.match(await refusal(network), /in use by external-address\/acme\/web, router\/acme\/r/);
  assert.match(await refusal('network/acme/front'), /port\/acme\/web/);
});

test('a detached address stays with its tenant and leads nowhere', async () => {
  await guests.command(client, 'update', address, { network: 'public', target: null });
  const { status } = await untilProven(address, /^detached$/);
  assert.not.ok(await answers('203.0.113.11'));
  assert.equal([status['address'], status['inside']], ['203.0.113.11', null]);
});

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

/** Waits until a condition is as wanted. */
async function untilSays(id: string, type: string, status: string, reason: string): Promise<Condition> {
  let last: Condition | undefined;
  const says = async (): Promise<boolean> => {
    last = ((await read(id)).status['conditions'] as readonly Condition[]).find((one) => one.type === type);
    return last?.status === status && last.reason === reason;
  };
  await until(`${id} says ${type} ${status} ${reason}`, says, 60_000).catch((error: unknown) => {
    throw new Error(`${String(error)}; it says ${JSON.stringify(last)}`);
  });
  return last as Condition;
}

/** Hosts that have not proven all of the router. */
const lagging = async (): Promise<string> =>
  ((await read('router/acme/r')).status['lagging'] as readonly string[]).join();
const leads = async (): Promise<unknown> => (await read(network)).status['active'];

test('the host that leads loses its uplink: the other one leads, and it stands by once it has one again', async () => {
  await guests.command(client, 'update', address, { network: 'public', target: { port: 'web' } });
  await untilProven(address, /^attached$/);
  await until('the outside reaches the guest', () => answers('203.0.113.11'));
  await cluster.topology.exec('w1', ['ip', 'link', 'delete', outside.uplink]);
  await until('w2 leads', async () => (await leads()) === 'w2', 30_000);
  await until('the outside reaches the guest by the other host', () => answers('203.0.113.11'));
  await untilSays('router/acme/r', 'Realized', 'False', 'HostDelayed');
  await until('all others have proven it', async () => (await lagging()) === 'w1');
  await cluster.topology.plugUplink('w1');
  await untilSays(network, 'Standby', 'True', 'Listening');
  await untilSays('router/acme/r', 'Realized', 'True', 'Proven');
  // The lead goes back to it by its healed gateway.
  const moved = (...hosts: string[]) => guests.command(client, 'update', network, { ...declared, hosts });
  await moved('w2', 'w1');
  await moved('w1', 'w2');
  await until('w1 leads', async () => (await leads()) === 'w1', 30_000);
  await until('the outside reaches the guest', () => answers('203.0.113.11'));
});

/** Gaps in the answers of an echo every 50 ms, in ms, the longest one. */
async function longestGap(to: string, during: () => Promise<void>): Promise<number> {
  // With a deadline of its own, ping would end at the first error of a router.
  const ping = ['timeout', '8', 'ping', '-D', '-i', '0.05', to];
  const pinging = cluster.topology.exec(outside.node, ping, 20_000).catch((error: { stdout?: string }) => error.stdout);
  await pause(500);
  await during();
  const at = [...((await pinging) ?? '').matchAll(/^\[(\d+\.\d+)\] \d+ bytes/gm)].map(([, s]) => Number(s) * 1_000);
  assert.ok(at.length > 10, 'too few answers');
  return Math.max(...at.slice(1).map((one, index) => one - (at[index] ?? one)));
}

test('the gateway host that leads dies: the other one takes over, and the address is reached again', async () => {
  const gap = await longestGap('203.0.113.11', async () => {
    signal(cluster.topology.node('w1').init, 'SIGKILL');
    await until('w2 leads', async () => (await leads()) === 'w2', 30_000);
  });
  console.log(`no answer for ${Math.round(gap)} ms`);
  assert.ok(await answers('203.0.113.11'));
  const report = await guest.ping(outside.address, { count: 3, intervalMs: 50, timeoutMs: 1_000 });
  assert.ok(report.received > 0, JSON.stringify(report));
});

test('while the dead host is not fenced, the router says that all others have it, and which one has not', async () => {
  await untilSays('router/acme/r', 'Realized', 'False', 'HostsLag');
  await until('all others have proven it', async () => (await lagging()) === 'w1');
  const { message } = await untilSays('router/acme/r', 'Realized', 'False', 'HostsLag');
  assert.is(message, 'one host has not proven it yet; every other host has, also the gateway host that leads');
  const tenant = await guests.openClient(cluster, cluster.tenantFile('acme'));
  const { status } = (await tenant.call('actor.get', { id: 'router/acme/r' })) as unknown as Read;
  tenant.close();
  assert.not.match(JSON.stringify(status), /\bw[12]\b/, 'a tenant learns no names of hosts');
});

test.run();
