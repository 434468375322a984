/** Ports declared by many clients at once, and what must be true of them afterwards. Used by crash-programs.test.ts. */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import * as assert from 'uvu/assert';
import { TapGuest } from '../harness/tap-guest.ts';
import type { PhotonCluster } from './cluster-launch.ts';
import { tenant, type CrashTenant } from './crash-tenant.ts';

export interface Declared {
  readonly name: string;
  readonly key: string;
  /** Undefined when no answer came: unknown. */
  answer?: unknown;
}

/** Asks for an unbound port; no answer is no answer, anything else is a failure. */
export async function declare(acme: CrashTenant, one: Declared, waitMs: number): Promise<void> {
  try {
    one.answer = await acme.ask('port.create', one.name, { network: 'front' }, one.key, waitMs);
  } catch (error) {
    if (!(error instanceof PhotonError) || error.record.group !== 'unknown') throw error;
  }
}

export const answeredOf = (list: readonly Declared[]): number => list.filter((one) => one.answer !== undefined).length;

/** Each port exists once, with an address nobody else has, and the network counts neither more nor fewer. */
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

/** A DHCP exchange as a guest on the direct port would have it. */
export async function exchange(
  cluster: PhotonCluster,
  acme: CrashTenant,
  port: string,
): Promise<{ address: string; wanted: string }> {
  const { status } = await acme.reachState(`port/${tenant}/${port}`, /^active$/);
  const { address, mac, proof } = status as { address: string; mac: string; proof: { tap: string } };
  const { namespace } = await acme.placeOf('web-1');
  // The namespace has its name only inside the node.
  const inside = `/proc/${cluster.topology.node('w1').init.pid}/root/run/netns/${namespace}`;
  const guest = await TapGuest.open({ tap: proof.tap, mac, namespace: inside });
  try {
    const lease = await guest.dhcp({ timeoutMs: 5_000 });
    return { address: lease.address, wanted: address };
  } finally {
    await guest.close();
  }
}
