/**
 * Ports that many clients declare at once, and the assertions about them afterwards. Used by crash-programs.test.ts.
 */
import { randomUUID } from 'node:crypto';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import * as assert from 'uvu/assert';
import { dhcpOptions, TapGuest, type LeaseReport } from '../harness/tap-guest.ts';
import type { PhotonCluster } from './cluster-launch.ts';
import { killInside, redisOf } from './crash-sight.ts';
import { tenant, type CrashTenant } from './crash-tenant.ts';
import { until } from './process-identity.ts';

export interface Declared {
  readonly name: string;
  readonly key: string;
  /** Undefined when no answer came, so the outcome is unknown. */
  answer?: unknown;
}

/** Declares an unbound port; a missing answer leaves `answer` undefined, a rejection throws. */
export async function declare(acme: CrashTenant, one: Declared, waitMs: number): Promise<void> {
  try {
    one.answer = await acme.ask('port.create', one.name, { network: 'front' }, one.key, waitMs);
  } catch (error) {
    if (!(error instanceof PhotonError) || error.record.group !== 'unknown') throw error;
  }
}

const answeredOf = (list: readonly Declared[]): number => list.filter((one) => one.answer !== undefined).length;

/**
 * Four clients declare one port after the other, into `wanted`, while redis-server alone is killed: some commands are
 * answered before the kill, some are in the store without an answer, some are lost. Ends when answers come again.
 */
export async function workThroughRedisKill(
  { topology }: PhotonCluster,
  acme: CrashTenant,
  wanted: Declared[],
): Promise<void> {
  const redis = await redisOf(topology, 's1');
  let going = true;
  const lane = async (): Promise<void> => {
    while (going && wanted.length < 100) {
      const one = { name: `p${wanted.length}`, key: randomUUID() };
      wanted.push(one);
      await declare(acme, one, 20_000);
    }
  };
  const lanes = Promise.all([lane(), lane(), lane(), lane()]);
  await until('some ports are answered', () => answeredOf(wanted) >= 4);
  await killInside(topology, 's1', redis);
  const at = performance.now();
  const before = answeredOf(wanted);
  await redisOf(topology, 's1', redis);
  await until('work goes on', () => answeredOf(wanted) >= before + 8);
  const took = ((performance.now() - at) / 1000).toFixed(1);
  console.log(`redis-server alone: ${answeredOf(wanted) - before} more answers ${took} s after its end`);
  going = false;
  await lanes;
}

/** Each port exists with an address of its own, and the network counts exactly these ports and the VM's. */
export async function assertOneAddressEach(acme: CrashTenant, wanted: readonly Declared[]): Promise<void> {
  const addresses = new Set<unknown>();
  for (const one of wanted) {
    const port = await acme.reachState(`port/${tenant}/${one.name}`, /^unbound$/);
    addresses.add((port.status as { address: string }).address);
  }
  assert.is(addresses.size, wanted.length, `addresses given twice: ${[...addresses].join(' ')}`);
  const network = await acme.reachState(`network/${tenant}/front`, /^ready$/);
  assert.is((network.status as { ports: number }).ports, wanted.length + 1);
}

/** A guest on a port of w1 that is bound without a VM, and the address that it is to get. */
export async function openPortGuest(
  cluster: PhotonCluster,
  acme: CrashTenant,
  port: string,
): Promise<{ guest: TapGuest; address: string }> {
  const { status } = await acme.reachState(`port/${tenant}/${port}`, /^active$/);
  const { address, mac, proof } = status as { address: string; mac: string; proof: { tap: string } };
  const { namespace } = await acme.placeOf('web-1');
  // The namespace is named in the node's mount namespace only.
  const inside = `/proc/${cluster.topology.node('w1').init.pid}/root/run/netns/${namespace}`;
  return { guest: await TapGuest.open({ tap: proof.tap, mac, namespace: inside }), address };
}

/** When a guest renews its lease; dnsmasq makes a renewal's random, so that guests do not come all at once. */
const renewalTimes = [58, 59];

/** What a guest is told when it asks for an address, all options as they are. */
export const told = (lease: LeaseReport): readonly string[] => [lease.address, ...dhcpOptions(lease)];
/** What a guest is told when it renews its lease, or asks, except when to renew it. */
export const toldForLong = (lease: LeaseReport): readonly string[] => [
  lease.address,
  ...dhcpOptions(lease, renewalTimes),
];

/** The DHCP exchange of a guest on a port that is bound without a VM. */
export async function exchange(
  cluster: PhotonCluster,
  acme: CrashTenant,
  port: string,
): Promise<{ address: string; wanted: string; told: readonly string[] }> {
  const { guest, address } = await openPortGuest(cluster, acme, port);
  try {
    const lease = await guest.dhcp({ timeoutMs: 5_000 });
    return { address: lease.address, wanted: address, told: told(lease) };
  } finally {
    await guest.close();
  }
}
