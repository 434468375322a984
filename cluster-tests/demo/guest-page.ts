/**
 * Reads the web page and the state of a guest over the network, from the VPC's namespace on the worker, through bridge
 * and tap. Used by the demo, the crash tests and the bench; it starts nothing.
 */
import type { Topology } from '../cluster/cluster-topology.ts';
import { until } from '../cluster/process-identity.ts';
import { patienceMs } from '@photoncloud/runtime/contract/patience-for-tests';

export interface GuestFacts {
  readonly hostname: string;
  readonly addresses: readonly string[];
  readonly mac: string;
  readonly mtu: number;
  readonly boot_id: string;
  readonly volume_serial: string | null;
  readonly count: number | null;
}

export interface GuestPlace {
  readonly topology: Topology;
  /** Worker the VM runs on. */
  readonly node: string;
  /** Network namespace of the VPC there, as `ip netns` names it. */
  readonly namespace: string;
  readonly address: string;
}

async function fetchOnce(place: GuestPlace, path: string, post = false): Promise<string> {
  const { topology, node, namespace, address } = place;
  const curl = ['curl', '-sS', '-m', '10', '-f', ...(post ? ['-X', 'POST'] : []), `http://${address}${path}`];
  return await topology.exec(node, ['nsenter', `--net=/run/netns/${namespace}`, ...curl], 20_000);
}

/** Fetches until it is answered 200. @throws Error with the last failure after `timeoutMs`. */
export async function fetchPage(place: GuestPlace, path: '/' | '/state', timeoutMs: number): Promise<string> {
  let page: string | undefined;
  let last = '';
  const answered = async (): Promise<boolean> => {
    try {
      page = await fetchOnce(place, path);
    } catch (error) {
      // The guest may still be booting; after the deadline it counts as broken.
      last = (error as { stderr?: string }).stderr?.trim() ?? String(error);
    }
    return page !== undefined;
  };
  await until(`http://${place.address}${path} answers 200`, answered, timeoutMs).catch((error: unknown) => {
    throw new Error(`${error instanceof Error ? error.message : String(error)}; last: ${last}`);
  });
  return page ?? '';
}

/** Reads the state without counting a visit. */
export async function readGuest(place: GuestPlace, timeoutMs = patienceMs()): Promise<GuestFacts> {
  return JSON.parse(await fetchPage(place, '/state', timeoutMs)) as GuestFacts;
}

/** Makes one visit; status 200 means that the visit is on the volume. @throws Error on any other answer */
export async function visitGuest(place: GuestPlace): Promise<GuestFacts> {
  return JSON.parse(await fetchOnce(place, '/visit', true)) as GuestFacts;
}
