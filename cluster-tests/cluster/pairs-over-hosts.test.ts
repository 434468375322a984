/**
 * Allowed address pairs on two workers of the real kernel, with tap guests: a pair is reached across the overlay, moves
 * in place, belongs to one port, and leaves nothing; also DNS names, and port security that only an operator turns off.
 */
// needs: kernel
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { TapGuest } from '../harness/tap-guest.ts';
import { launchCluster, type PhotonCluster } from './cluster-launch.ts';
import * as guests from './overlay-guests.ts';
import type { BoundPort } from './overlay-guests.ts';
import { until } from './process-identity.ts';

const test = suite('address pairs');

/** By address, not by group: a port without port security is in no group, and others admit it no more as a member. */
const pings = {
  rules: [{ direction: 'egress' }, { direction: 'ingress', protocol: 'icmp', remote: { cidr: '10.20.0.0/24' } }],
};
const securityGroups = ['pings'];

let cluster: PhotonCluster;
let operator: PhotonClient;
let tenant: PhotonClient;
let [here, there]: BoundPort[] = [];
let [server, client]: TapGuest[] = [];

const one = (): BoundPort => here ?? (assert.unreachable('no port') as never);
const other = (): BoundPort => there ?? (assert.unreachable('no port') as never);
const serving = (): TapGuest => server ?? (assert.unreachable('no guest') as never);
const asking = (): TapGuest => client ?? (assert.unreachable('no guest') as never);

test.before(async () => {
  cluster = await launchCluster({ stem: 'pairs', tenants: ['acme'] });
  operator = await guests.openClient(cluster, cluster.clientFile);
  tenant = await guests.openClient(cluster, cluster.tenantFile('acme'));
  await guests.command(operator, 'create', 'tenant/acme/acme');
  await guests.command(tenant, 'create', 'network/acme/front', { subnets: [{ cidr: '10.20.0.0/24' }] });
  await guests.command(tenant, 'create', 'security-group/acme/pings', pings);
  here = await guests.bindPort(cluster, operator, 'port/acme/p1', 'w1', { network: 'front', securityGroups });
  there = await guests.bindPort(cluster, operator, 'port/acme/p2', 'w2', { network: 'front', securityGroups });
  server = await guests.openGuest(one());
  client = await guests.openSettledGuest(other());
});

test.after(async () => {
  await server?.close();
  await client?.close();
  operator?.close();
  tenant?.close();
  await cluster?.topology.stop();
});

/** Declares the port anew, and waits until that is proven. */
async function update(as: PhotonClient, { id, node }: BoundPort, more: object): Promise<void> {
  await guests.command(as, 'update', id, { network: 'front', host: node, securityGroups, ...more });
  await until(`${id} is realized`, async () => {
    const { status } = (await operator.call('actor.get', { id })) as unknown as {
      status: { generation: number; observedGeneration: number };
    };
    return status.observedGeneration === status.generation;
  });
}

/** The routes of other hosts follow the proof. */
const untilAnswered = (to: string): Promise<void> =>
  until(`${to} answers`, async () => (await asking().ping(to, { count: 1, timeoutMs: 500 })).received === 1);

const refusalOf = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.then(
    () => assert.unreachable('it was accepted') as never,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof PhotonError)) throw error;
  return error.record.code;
};

test('a pair is reached across the overlay, and no longer once another took its place', async () => {
  await update(tenant, one(), { addressPairs: [{ cidr: '10.20.0.99' }] });
  await serving().configure({ address: '10.20.0.99', prefix: 24, gateway: one().gateway });
  await untilAnswered('10.20.0.99');
  await update(tenant, one(), { addressPairs: [{ cidr: '10.20.0.96/31', mac: null }] });
  await serving().configure({ address: '10.20.0.97', prefix: 24, gateway: one().gateway });
  await untilAnswered('10.20.0.97');
  const before = await asking().ping('10.20.0.99', { count: 1, timeoutMs: 500 });
  assert.is(before.received, 0, 'what was given up');
});

test('a pair is one port alone, and only an operator turns port security off', async () => {
  const taken = { addressPairs: [{ cidr: '10.20.0.97' }] };
  assert.is(await refusalOf(update(tenant, other(), taken)), 'address_taken');
  assert.is(await refusalOf(update(tenant, other(), { portSecurity: false })), 'forbidden');
  await update(operator, other(), { portSecurity: false, dnsName: 'router' });
  const lease = await asking().dhcp();
  assert.equal([lease.address, lease.hostname], [other().address, 'router']);
  // Not as a flow that was admitted before.
  for (const port of [one(), other()]) await guests.execBeside(cluster, port, ['conntrack', '-F']);
  await untilAnswered('10.20.0.97');
});

test('after everything is deleted nothing is left on the workers', async () => {
  await serving().close();
  await asking().close();
  for (const { id } of [one(), other()]) await guests.command(tenant, 'delete', id);
  await guests.command(tenant, 'delete', 'security-group/acme/pings');
  await guests.command(tenant, 'delete', 'network/acme/front');
  await guests.untilNoResidue(cluster);
});

test.run();
