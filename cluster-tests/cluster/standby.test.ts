/**
 * A port without a VM is prepared on a second worker and moved there, on the real kernel with tap guests: while it
 * stands by, all packets go to the active host; afterwards to the other one, also those that still come to the former;
 * a running exchange loses none that was sent before or after; dropping it leaves nothing.
 */
// needs: kernel
// test limit: 120 s
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { TapProof } from '@photoncloud/machines/values/wiring';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { TapGuest } from '../harness/tap-guest.ts';
import { defaultNodes, launchCluster, type PhotonCluster } from './cluster-launch.ts';
import * as guests from './overlay-guests.ts';
import type { BoundPort } from './overlay-guests.ts';
import { until } from './process-identity.ts';

const test = suite('standby');

const nodes = [...defaultNodes, { name: 'w3', role: 'worker' }] as const;

let cluster: PhotonCluster;
let operator: PhotonClient;
let tenant: PhotonClient;
const ports: BoundPort[] = [];
const open: TapGuest[] = [];

/** The one that moves from w1 to w2, one beside it on w1, one on w2, one on w3, by index. */
const port = (index: number): BoundPort => ports[index] ?? (assert.unreachable('no port') as never);
const guest = (index: number): TapGuest => open[index] ?? (assert.unreachable('no guest') as never);

interface Stands {
  readonly host: string;
  readonly runEpoch: number;
  readonly proof: TapProof;
}
let stands: Stands;

test.before(async () => {
  cluster = await launchCluster({ stem: 'standby', tenants: ['acme'], nodes });
  operator = await guests.openClient(cluster, cluster.clientFile);
  tenant = await guests.openClient(cluster, cluster.tenantFile('acme'));
  await guests.command(operator, 'create', 'tenant/acme/acme');
  await guests.command(tenant, 'create', 'network/acme/front', { subnets: [{ cidr: '10.20.0.0/24' }] });
  for (const [index, node] of ['w1', 'w1', 'w2', 'w3'].entries()) {
    ports[index] = await guests.bindPort(cluster, operator, `port/acme/p${index}`, node, { network: 'front' });
    open[index] = await guests.openSettledGuest(port(index));
  }
});

test.after(async () => {
  for (const one of open) await one.close();
  operator?.close();
  tenant?.close();
  await cluster?.topology.stop();
});

const isTo = (address: string) => (frame: Buffer) =>
  frame.readUInt16BE(12) === 0x0800 && frame.subarray(30, 34).join('.') === address && frame[23] === 1;

/** Echo requests of all others to the moving port, and how many were answered of each. */
const echoes = (count: number): Promise<readonly number[]> =>
  Promise.all(
    [1, 2, 3].map(async (index) => {
      const report = await guest(index).ping(port(0).address, { count, intervalMs: 50, timeoutMs: 20_000 });
      return report.received;
    }),
  );

/** The echo requests that the guest was sent since it was looked at last. */
const taken = (index: number): number =>
  guest(index)
    .takeFrames()
    .filter(isTo(port(0).address)).length;

const ask = (verb: string, params: object = {}): Promise<unknown> => guests.command(operator, verb, port(0).id, params);

async function refusalOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => assert.unreachable('it was accepted') as never,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof PhotonError)) throw error;
  return error.record.code;
}

const statusOf = async (): Promise<{ readonly host: string; readonly standby: { readonly phase: string } | null }> =>
  ((await operator.call('actor.get', { id: port(0).id })) as unknown as { status: never }).status;

/** The overlay address of a worker. */
async function overlayOf(node: string): Promise<string> {
  const host = (await operator.call('actor.get', { id: `host/system/${node}` })) as unknown as {
    readonly status: { readonly index: number };
  };
  return `169.254.64.${host.status.index}`;
}

const routeOn = (of: BoundPort): Promise<string> =>
  guests.execBeside(cluster, of, ['ip', 'route', 'show', `${port(0).address}/32`]);

test('it stands by, proven, and every packet still goes to the active host', async () => {
  assert.equal(await echoes(1), [1, 1, 1]);
  assert.is(await refusalOf(guests.command(tenant, 'standby', port(0).id, { host: 'w2' })), 'forbidden');
  assert.is(await refusalOf(ask('standby', { host: 'w1' })), 'standby_exists');
  assert.is(await refusalOf(ask('standby', { host: 'w9' })), 'host_not_found');
  stands = (await ask('standby', { host: 'w2' })) as Stands;
  assert.equal([stands.host, stands.proof.standby], ['w2', true]);
  assert.is(stands.proof.route, `${port(0).address} via ${await overlayOf('w1')} dev vx0`);
  assert.equal(await ask('standby', { host: 'w2' }), stands, 'a repeated request');
  open[4] = await guests.openSettledGuest({ ...port(2), ...port(0), ...placeOn(2), tap: stands.proof.tap });
  await guest(4).sniff();
  await guest(0).sniff();
  assert.equal(await echoes(3), [3, 3, 3]);
  assert.equal([taken(0), taken(4)], [9, 0]);
});

const placeOn = (index: number) => {
  const { node, namespace, namespacePath } = port(index);
  return { node, namespace, namespacePath };
};

test('it moves only by the run epoch that it was prepared for; then the other host has every packet', async () => {
  assert.is(await refusalOf(ask('activate', { host: 'w2', runEpoch: stands.runEpoch + 1 })), 'standby_conflict');
  assert.is(await refusalOf(ask('activate', { host: 'w3', runEpoch: stands.runEpoch })), 'standby_conflict');
  // The exchange goes on while it moves: both guests are the port, and answer.
  const during = echoes(40);
  const move = { host: 'w2', runEpoch: stands.runEpoch };
  await ask('activate', move);
  const received = await during;
  await ask('activate', move);
  assert.is((await statusOf()).host, 'w2');
  await until('the former stands by', async () => (await statusOf()).standby?.phase === 'standing');
  const via = `via ${await overlayOf('w2')} dev vx0`;
  await until('all routes lead to w2', async () => (await routeOn(port(3))).includes(via));
  assert.equal(received, [40, 40, 40], 'of a running exchange');
  taken(0);
  taken(4);
  assert.equal(await echoes(3), [3, 3, 3]);
  assert.equal([taken(0), taken(4)], [0, 9]);
  assert.match(await routeOn(port(1)), via);
  const lease = await guest(4).dhcp();
  assert.equal(lease.address, port(0).address);
});

test('what still comes to the former host is forwarded', async () => {
  // As a host that was not told yet.
  const { address } = port(0);
  const leadTo = async (node: string): Promise<unknown> => {
    const route = `route replace ${address}/32 via ${await overlayOf(node)} dev vx0 onlink metric 512`;
    return guests.execBeside(cluster, port(3), ['ip', ...route.split(' ')]);
  };
  await leadTo('w1');
  assert.is((await guest(3).ping(address, { count: 3, timeoutMs: 10_000 })).received, 3);
  assert.is(taken(0), 0);
  await leadTo('w2');
});

test('the former is dropped, and traffic goes on', async () => {
  await open.splice(0, 1)[0]?.close();
  await ask('drop-standby');
  assert.is((await statusOf()).standby, null);
  const taps = await guests.execBeside(cluster, port(1), ['ip', '-br', 'link']);
  assert.not.match(taps, port(0).tap);
  assert.match(await routeOn(port(1)), `via ${await overlayOf('w2')} dev vx0`);
  const received = await Promise.all(
    [0, 1, 2].map(async (at) => (await guest(at).ping(port(0).address, { count: 3, timeoutMs: 10_000 })).received),
  );
  assert.equal(received, [3, 3, 3]);
});

test('a port that stands by ends on both hosts, and leaves nothing', async () => {
  const again = (await ask('standby', { host: 'w1' })) as Stands;
  assert.equal([again.host, again.runEpoch > stands.runEpoch], ['w1', true]);
  for (const one of open.splice(0)) await one.close();
  for (const { id } of ports) await guests.command(tenant, 'delete', id);
  await guests.command(tenant, 'delete', 'network/acme/front');
  await guests.untilNoResidue(cluster);
});

test.run();
