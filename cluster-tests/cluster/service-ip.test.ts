/**
 * A service IP on two workers of the real kernel: three ports with a web server each and a client, all with a kernel's
 * TCP. The client says what it reaches; health checks, labels and deletion do what they say, and running streams to
 * backends that stay go on.
 */
// needs: kernel
import { spawn } from 'node:child_process';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { StackGuest } from '../harness/stack-guest.ts';
import { launchCluster, photonCli, type PhotonCluster } from './cluster-launch.ts';
import * as guests from './overlay-guests.ts';
import type { BoundPort } from './overlay-guests.ts';
import { until } from './process-identity.ts';

const test = suite('service-ip');
const id = 'service-ip/acme/web';
const stack = new URL('../harness/web-guest-main.ts', import.meta.url).pathname;

let cluster: PhotonCluster;
let client: PhotonClient;
const ports: Record<string, BoundPort> = {};
const stacks: Record<string, StackGuest> = {};
const guest = (name: string): StackGuest => stacks[name] ?? (assert.unreachable(`no guest ${name}`) as never);

const web = { app: 'web' };
const everything = { rules: [{ direction: 'ingress' }, { direction: 'egress' }] };
const spec = {
  network: 'front',
  ports: [{ protocol: 'tcp', port: 80, targetPort: 8080 }],
  backends: { selector: web },
  healthCheck: { protocol: 'http', path: '/health', intervalSeconds: 1, timeoutSeconds: 1, rise: 1, fall: 2 },
};

let commands = 0;
/** A command under a fresh key, with labels. */
async function declare(verb: string, of: string, declared: object, labels: object = {}): Promise<unknown> {
  const [kind = '', scope = '', name = ''] = of.split('/');
  const idempotencyKey = `service-${process.pid}-${++commands}`;
  const params = { spec: declared, labels };
  return (await client.call(`${kind}.${verb}`, { scope, name, idempotencyKey, params })).result;
}

interface Shown {
  readonly stateName: string;
  readonly reason: string | null;
  readonly status: {
    readonly address: string;
    readonly serving: readonly string[];
    readonly conditions: readonly { readonly type: string; readonly status: string; readonly reason: string }[];
  };
}
const shown = async (): Promise<Shown> => (await client.call('actor.get', { id })) as unknown as Shown;

async function untilServing(...names: readonly string[]): Promise<void> {
  const wanted = names.map((name) => ports[name]?.address).join();
  let last: Shown | undefined;
  const isSo = async (): Promise<boolean> => {
    last = await shown();
    const settled = /^allocated\.(active|degraded|noBackends)$/.test(last.stateName);
    return settled && last.status.serving.join() === wanted;
  };
  await until(`${names.join(', ') || 'nobody'} serves`, isSo).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${last?.stateName}, ${last?.status.serving.join()}: ${last?.reason}`);
  });
}

let address = '';
/** Names that answer, in the order of the alphabet. */
async function reached(times = 24): Promise<string> {
  const names = new Set<string>();
  for (let at = 0; at < times; at += 1) {
    const one = await guest('k').run('curl', '-s', '-m', '5', `http://${address}/`);
    names.add(one.trim());
  }
  return [...names].toSorted().join();
}
/** 7 is curl's word for a connection that was refused, 28 for no answer in time; 0: it was answered. */
const curlCode = (): Promise<number> =>
  guest('k')
    .run('curl', '-s', '-m', '5', `http://${address}/`)
    .then(
      () => 0,
      (error: unknown) => (error as { code: number }).code,
    );

/** A stream from whichever backend it reaches. */
function openStream() {
  const child = spawn(...guest('k').beside(['curl', '-sN', `http://${address}/stream`]), {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const stream = { child, name: '', lines: 0, ended: false };
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = chunk.toString().trim().split('\n');
    stream.name = lines[0] ?? '';
    stream.lines += lines.length;
  });
  child.on('exit', () => (stream.ended = true));
  return stream;
}
type Stream = ReturnType<typeof openStream>;
const streams: Stream[] = [];

/** Opens streams until each of these names has one. */
async function streamsFrom(...names: readonly string[]): Promise<readonly Stream[]> {
  const found = new Map<string, Stream>();
  for (let at = 0; at < 60 && found.size < names.length; at += 1) {
    const one = openStream();
    streams.push(one);
    await until('the stream begins', () => one.name !== '');
    if (found.has(one.name)) one.child.kill();
    else found.set(one.name, one);
  }
  return names.map((name) => found.get(name) ?? (assert.unreachable(`no stream from ${name}`) as never));
}

test.before(async () => {
  cluster = await launchCluster({ stem: 'service' });
  client = await guests.openClient(cluster, cluster.clientFile);
  await guests.command(client, 'create', 'tenant/acme/acme');
  await guests.command(client, 'create', 'network/acme/front', { subnets: [{ name: 'web', cidr: '10.20.0.0/24' }] });
  await guests.command(client, 'create', 'security-group/acme/open', everything);
  for (const [name, node] of [
    ['a', 'w1'],
    ['b', 'w2'],
    ['c', 'w2'],
    ['k', 'w1'],
  ] as const) {
    const port = await guests.bindPort(cluster, client, `port/acme/${name}`, node, {
      network: 'front',
      securityGroups: ['open'],
    });
    ports[name] = port;
    const { tap, mac, gateway, namespacePath: namespace } = port;
    stacks[name] = await StackGuest.open(
      { tap, mac, address: port.address, prefix: 24, gateway, mtu: 1450, namespace },
      [process.execPath, stack, name, '8080'],
    );
  }
});

test.after(async () => {
  for (const { child } of streams) child.kill();
  for (const one of Object.values(stacks)) await one.close();
  client?.close();
  await cluster?.topology.stop();
});

test('it has its address at once, and says which labels nobody has', async () => {
  const created = (await declare('create', id, spec)) as { readonly address: string };
  ({ address } = created);
  assert.match(address, /^10\.20\.0\.\d+$/);
  await untilServing();
  const { stateName, reason } = await shown();
  assert.is(stateName, 'allocated.noBackends');
  assert.match(
    reason ?? '',
    /no wired port of vpc\/acme\/main has the labels app=web; wired are .*port\/acme\/a \(no labels\)/,
  );
  assert.is(await curlCode(), 7, 'refused, not silent');
});

test('ports that get the labels serve on all hosts, once their hosts have checked them', async () => {
  for (const name of ['a', 'b', 'c']) await relabel(name, web);
  await untilServing('a', 'b', 'c');
  assert.is((await shown()).stateName, 'allocated.active');
  assert.is(await reached(), 'a,b,c');
  const list = await photonCli(cluster.clientFile, ['-t', 'acme', 'list', 'service-ip']);
  assert.match(list, /service-ip\/acme\/web +allocated\.active .*80\/tcp/);
});

const relabel = (name: string, labels: object): Promise<unknown> =>
  declare(
    'update',
    `port/acme/${name}`,
    { network: 'front', host: ports[name]?.node, securityGroups: ['open'] },
    labels,
  );

test('a backend that fails its health check serves no longer, and streams to the others go on', async () => {
  const [a, b, c] = await streamsFrom('a', 'b', 'c');
  guest('b').tell('stop');
  await untilServing('a', 'c');
  const { stateName, reason } = await shown();
  assert.is(stateName, 'allocated.degraded');
  assert.match(reason ?? '', /1 of 3 backends do not serve: 10\.20\.0\.\d+ \(connection refused\)/);
  assert.is(await reached(), 'a,c');
  await until('the stream from b has ended', () => b?.ended === true);
  for (const one of [a, c]) {
    const had = one?.lines ?? 0;
    await until(`the stream from ${one?.name} goes on`, () => (one?.lines ?? 0) > had + 10);
  }
  guest('c').tell('sick');
  await untilServing('a');
  guest('c').tell('well');
  await untilServing('a', 'c');
  assert.is(a?.ended, false);
});

test('labels that are taken from a running port take it out, and only it', async () => {
  const [a] = await streamsFrom('a', 'c');
  await relabel('c', {});
  await untilServing('a');
  assert.is(await reached(8), 'a');
  assert.is(a?.ended, false);
  await relabel('c', web);
  await untilServing('a', 'c');
  assert.is(await reached(), 'a,c');
});

test('what is in use is refused with who uses it', async () => {
  const codeOf = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'done',
      (error: unknown) => {
        const { record } = error as { record: { code: string; message: string } };
        return `${record.code}: ${record.message}`;
      },
    );
  const taken = declare('create', 'port/acme/thief', { network: 'front', address });
  assert.match(await codeOf(taken), new RegExp(`^address_taken: ${address} is held by ${id}`));
  const paired = declare('create', 'port/acme/thief', { network: 'front', addressPairs: [{ cidr: address }] });
  assert.match(await codeOf(paired), new RegExp(`^address_taken: .*${id}`));
  assert.match(
    await codeOf(guests.command(client, 'delete', 'network/acme/front')),
    /^in_use: .*service-ip\/acme\/web/,
  );
  const rules = [{ direction: 'egress', protocol: 'tcp', ports: { from: 80, to: 80 }, remote: { serviceIp: 'web' } }];
  await declare('create', 'security-group/acme/shoppers', { rules });
  await until('the group counts', async () =>
    /^in_use: .*shoppers/.test(await codeOf(guests.command(client, 'delete', id))),
  );
  // A client that may speak to the service IP alone.
  await declare('update', 'port/acme/k', { network: 'front', host: 'w1', securityGroups: ['shoppers'] });
  await until('only the service IP answers', async () => (await direct(ports['a']?.address ?? '')) === 'silence');
  assert.is(await reached(8), 'a,c');
  await declare('update', 'port/acme/k', { network: 'front', host: 'w1', securityGroups: ['open'] });
  await until('the backend answers', async () => (await direct(ports['a']?.address ?? '')) === 'a');
  const deleted = () => codeOf(guests.command(client, 'delete', 'security-group/acme/shoppers'));
  await until('no port has the group', async () => (await deleted()) === 'done');
});

const direct = (to: string): Promise<string> =>
  guest('k')
    .run('curl', '-s', '-m', '1', `http://${to}:8080/`)
    .then(
      (text) => text.trim(),
      () => 'silence',
    );

test('a deletion with retain keeps the address, and one without leaves nothing', async () => {
  await declare('apply', id, { ...spec, retain: true });
  await guests.command(client, 'delete', id);
  assert.is((await shown()).stateName, 'parked');
  assert.is.not(await curlCode(), 0, 'nobody has it');
  const back = (await declare('apply', id, spec)) as { readonly address: string };
  assert.is(back.address, address);
  await untilServing('a', 'c');
  assert.is(await reached(), 'a,c');
  await guests.command(client, 'delete', id);
  for (const one of Object.values(stacks)) await one.close();
  for (const name of Object.keys(ports)) await guests.command(client, 'delete', `port/acme/${name}`);
  await guests.command(client, 'delete', 'network/acme/front');
  await guests.untilNoResidue(cluster);
});

test.run();
