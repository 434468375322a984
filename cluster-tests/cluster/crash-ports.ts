/**
 * Ports that many clients declare at once, and the assertions about them afterwards. Used by crash-programs.test.ts.
 */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import * as assert from 'uvu/assert';
import { TapGuest } from '../harness/tap-guest.ts';
import type { PhotonCluster } from './cluster-launch.ts';
import { tenant, type CrashTenant } from './crash-tenant.ts';

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

export const answeredOf = (list: readonly Declared[]): number => list.filter((one) => one.answer !== undefined).length;

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

/** The DHCP exchange of a guest on a port that is bound without a VM. */
export async function exchange(
  cluster: PhotonCluster,
  acme: CrashTenant,
  port: string,
): Promise<{ address: string; wanted: string }> {
  const { guest, address } = await openPortGuest(cluster, acme, port);
  try {
    const lease = await guest.dhcp({ timeoutMs: 5_000 });
    return { address: lease.address, wanted: address };
  } finally {
    await guest.close();
  }
}
