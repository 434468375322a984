/**
 * Reads the web page and the state of a guest over the network: from the VPC's namespace on the worker, through bridge
 * and tap, or from outside of the cloud. Used by the demo, the crash tests and the bench; it starts nothing.
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
  /** Serials of its virtio disks, in the order of their names. */
  readonly disks: readonly string[];
  readonly count: number | null;
}

export interface GuestPlace {
  readonly topology: Topology;
  /** Node from which it is asked: the worker that the VM runs on, or the topology's outside. */
  readonly node: string;
  /** Network namespace there, as `ip netns` names it; null: the node's own. */
  readonly namespace: string | null;
  readonly address: string;
}

async function fetchOnce(place: GuestPlace, path: string, post = false, withinS = 10): Promise<string> {
  const { topology, node, namespace, address } = place;
  const curl = [
    'curl',
    '-sS',
    '-m',
    String(withinS),
    '-f',
    ...(post ? ['-X', 'POST'] : []),
    `http://${address}${path}`,
  ];
  const enter = namespace === null ? [] : ['nsenter', `--net=/run/netns/${namespace}`];
  return await topology.exec(node, [...enter, ...curl], 20_000);
}

/**
 * Fetches until it is answered 200.
 * @param tryS of each try: one that begins before the guest answers goes on with TCP's repetitions, after 1, 3 and 7 s
 * @throws Error with the last failure after `timeoutMs`
 */
export async function fetchPage(
  place: GuestPlace,
  path: '/' | '/state',
  timeoutMs: number,
  tryS?: number,
): Promise<string> {
  let page: string | undefined;
  let last = '';
  const answered = async (): Promise<boolean> => {
    try {
      page = await fetchOnce(place, path, false, tryS);
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

/**
 * Makes one visit; status 200 means that the visit is on the volume.
 * @param note kept with it; small letters, digits and - @throws Error on any other answer, and on none in time
 */
export async function visitGuest(place: GuestPlace, note = '', withinS = 10): Promise<GuestFacts> {
  return JSON.parse(await fetchOnce(place, note === '' ? '/visit' : `/visit?${note}`, true, withinS)) as GuestFacts;
}

/** The notes of all visits on the volume, in their order. @throws Error when the guest does not answer */
export async function notesOfVisits(place: GuestPlace): Promise<string[]> {
  const lines = (await fetchOnce(place, '/visits')).split('\n').filter((line) => line !== '');
  return lines.map((line) => line.slice(line.indexOf(' ') + 1));
}

/** Whether anything answers at another port of the address. */
export async function answersAt({ topology, node, address }: GuestPlace, listenPort: number): Promise<boolean> {
  const curl = ['curl', '-s', '-m', '1', `http://${address}:${listenPort}/`];
  return await topology.exec(node, curl).then(
    () => true,
    () => false,
  );
}

/** What should have changed between two looks at a guest and did not, or changed and should not have. */
export function changesOf(before: GuestFacts, after: GuestFacts, wanted: 'a new boot' | 'the same boot'): string[] {
  const isSameBoot = before.boot_id === after.boot_id;
  return [
    wanted === 'a new boot' && isSameBoot && 'the boot id is the same: it did not restart',
    wanted === 'the same boot' && !isSameBoot && 'the boot id is new: it did restart',
    before.addresses.join() !== after.addresses.join() && `the address changed to ${after.addresses.join()}`,
    before.volume_serial !== after.volume_serial && `the volume's serial changed to ${after.volume_serial}`,
  ].filter((reason) => reason !== false);
}
