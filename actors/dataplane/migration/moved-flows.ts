/**
 * The connections of a guest that moves: read from the conntrack table of its former host once it stands still, put
 * into that of its new host before it goes on. Without an entry the packets of a running tcp connection are invalid
 * there (nf_conntrack_tcp_loose=0), and it would hang until both ends give it up. Called by migration-operations.ts.
 * Promise: only connections of addresses that the run's own taps have are read, and only such are put.
 */
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { mostFlows, trackedFlowSchema, type TrackedFlow } from '@photoncloud/machines/values/tracked-flows';
import type { IncarnationSpec } from '@photoncloud/machines/values/wiring';
import { describeCause } from '@photoncloud/runtime/contract/errors';
import type { DataplaneSite } from '../dataplane-site.ts';
import { readHoldings } from '../dhcp/dhcp-hosts.ts';
import { fileError } from '../kernel-errors.ts';
import { pathsOf } from '../hypervisor/qemu-folder.ts';
import { readNamespace } from '../overlay/overlay-namespace.ts';
import { runProgram } from '../program.ts';
import { reviewFlows } from '../security-group/flow-review.ts';
import { listFolder } from '../storage-files.ts';

type Run = Pick<IncarnationSpec, 'owner' | 'nics'>;

/** Where the addresses of a NIC are. */
interface Place {
  readonly nic: number;
  readonly namespace: string;
  readonly addresses: ReadonlySet<string>;
}

const outputCapBytes = 128 << 20;

/** NICs whose taps are in no namespace of a VPC have none. */
async function placesOf(site: DataplaneSite, { nics }: Run): Promise<readonly Place[]> {
  const namespaces = await listFolder(site.folders.dhcp);
  const held = await Promise.all(
    namespaces.map(async (namespace) => ({ namespace, all: await readHoldings(site.folders.dhcp, namespace) })),
  );
  return nics.flatMap(({ binding, bindingUid }, nic) => {
    const tap = site.names.tapOf({ actor: binding, uid: bindingUid });
    return held.flatMap(({ namespace, all }) => {
      const addresses = new Set(all.filter((one) => one.tap === tap).map(({ address }) => address));
      return addresses.size === 0 ? [] : [{ nic, namespace, addresses }];
    });
  });
}

const inside = (namespace: string, args: readonly string[]) => [`--net=/run/netns/${namespace}`, 'conntrack', ...args];

async function listLines(namespace: string): Promise<readonly string[]> {
  if ((await readNamespace(namespace)) !== 'present') return [];
  const { stdout } = await runProgram({
    program: 'nsenter',
    args: inside(namespace, ['-L', '-f', 'ipv4']),
    what: `reading the flows of ${namespace}`,
    outputCapBytes,
  });
  return stdout.split('\n');
}

const tuple = String.raw`src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)`;
/** Answered ones alone: `[UNREPLIED]` would stand between the two halves. */
const flowLine = new RegExp(String.raw`^(tcp|udp) +\d+ (\d+) (?:([A-Z_]+) )?${tuple} ${tuple}(.*)$`);
const longestS = 432_000;

/** Undefined for what is not carried: without an answer, at its end, or sent from another address than it came from. */
export function trackedFlowOf(line: string, nic: number): TrackedFlow | undefined {
  const found = flowLine.exec(line);
  if (found === null) return undefined;
  const [, protocol, seconds, state = null, source, destination, sport, dport, answers, to, answerPort, toPort, rest] =
    found;
  if (to !== source || toPort !== sport) return undefined;
  const led = answers !== destination || answerPort !== dport;
  const flow = trackedFlowSchema.safeParse({
    nic,
    protocol,
    source,
    sourcePort: Number(sport),
    destination,
    destinationPort: Number(dport),
    led: led ? { address: answers, port: Number(answerPort) } : null,
    state,
    assured: rest?.includes('[ASSURED]') === true,
    seconds: Math.min(longestS, Math.max(1, Number(seconds))),
  });
  return flow.success && (flow.data.protocol === 'tcp') === (flow.data.state !== null) ? flow.data : undefined;
}

const isOf = ({ addresses }: Place, { source, destination, led }: TrackedFlow): boolean =>
  addresses.has(source) || addresses.has(destination) || (led !== null && addresses.has(led.address));

/**
 * Where a client enters the VPC it is led to the guest, and there it stays: the guest's new host sees its packets come
 * to the guest itself. What the guest sends to a service IP is led on its own host.
 */
export const asReceived = ({ addresses }: Pick<Place, 'addresses'>, flow: TrackedFlow): TrackedFlow =>
  flow.led === null || addresses.has(flow.source)
    ? flow
    : { ...flow, destination: flow.led.address, destinationPort: flow.led.port, led: null };

const rank = ({ state, assured }: TrackedFlow): number => (state === 'ESTABLISHED' ? 0 : 2) + (assured ? 0 : 1);

/** @returns at most `mostFlows`, those that would be missed most first */
export async function readMovedFlows(site: DataplaneSite, run: Run): Promise<readonly TrackedFlow[]> {
  const places = await placesOf(site, run);
  const tables = new Map<string, readonly string[]>();
  for (const { namespace } of places) if (!tables.has(namespace)) tables.set(namespace, await listLines(namespace));
  return places
    .flatMap((place) =>
      (tables.get(place.namespace) ?? [])
        .flatMap((line) => trackedFlowOf(line, place.nic) ?? [])
        .filter((flow) => isOf(place, flow))
        .map((flow) => asReceived(place, flow)),
    )
    .toSorted((a, b) => rank(a) - rank(b))
    .slice(0, mostFlows);
}

const nameOf = ({ protocol, source, sourcePort, destination, destinationPort }: TrackedFlow): string =>
  `-p ${protocol} -s ${source} -d ${destination} --sport ${sourcePort} --dport ${destinationPort}`;

/** The answers of a connection name it among all of a table, whether it was led or not. */
const answersOf = ({ protocol, source, sourcePort, destination, destinationPort, led }: TrackedFlow): string =>
  [protocol, led?.address ?? destination, led?.port ?? destinationPort, source, sourcePort].join(' ');

interface Entry {
  /** As conntrack is told of it. */
  readonly name: string;
  readonly goesOn: boolean;
}

const halves = new RegExp(String.raw`^(tcp|udp) .*?${tuple} (?:\[UNREPLIED\] )?${tuple}`);

/** By their answers. */
const entriesIn = (lines: readonly string[]): ReadonlyMap<string, Entry> =>
  new Map(
    lines.flatMap((line) => {
      const [, protocol, source, destination, sport, dport, from, to, fromPort, toPort] = halves.exec(line) ?? [];
      if (protocol === undefined) return [];
      const name = `-p ${protocol} -s ${source} -d ${destination} --sport ${sport} --dport ${dport}`;
      const entry: Entry = { name, goesOn: trackedFlowOf(line, 0) !== undefined };
      return [[[protocol, from, fromPort, to, toPort].join(' '), entry] as const];
    }),
  );

/** A line of the file that conntrack loads; an entry that is there stays. Every part was checked by the schema. */
export function loadLine(flow: TrackedFlow): string {
  const { led, state, assured, seconds } = flow;
  const words = [
    `-A ${nameOf(flow)} -t ${seconds} -u SEEN_REPLY${assured ? ',ASSURED' : ''}`,
    ...(state === null ? [] : [`--state ${state}`]),
    ...(led === null ? [] : [`-g ${led.address}:${led.port}`]),
  ];
  return words.join(' ');
}

/**
 * The guest stands still meanwhile, so nothing is looked at. Where it fails the guest goes on all the same, and its
 * connections time out. @returns how many connections the table was given
 */
export async function placeMovedFlows(site: DataplaneSite, run: Run, flows: readonly TrackedFlow[]): Promise<number> {
  let placed = 0;
  for (const place of await placesOf(site, run)) {
    const own = ownOf(place, flows);
    try {
      await load(site, run, place.namespace, own.map(loadLine));
      placed += own.length;
    } catch (error) {
      warn(site, run, error, 'the connections of a guest that moves could not be taken up');
    }
  }
  return placed;
}

/** Lines that put these connections in the place of ended ones of the same ports. @param listed by conntrack -L */
export function replacements(listed: readonly string[], flows: readonly TrackedFlow[]): readonly string[] {
  const known = entriesIn(listed);
  return flows.flatMap((flow) => {
    const entry = known.get(answersOf(flow));
    return entry === undefined || entry.goesOn ? [] : [`-D ${entry.name}`, loadLine(flow)];
  });
}

/**
 * Once the guest goes on: a connection whose ports an ended one had here before takes its place, and those end that
 * the security groups do not admit any more, which may have changed since its former host admitted them.
 */
export async function reviewMovedFlows(site: DataplaneSite, run: Run, flows: readonly TrackedFlow[]): Promise<void> {
  try {
    for (const place of await placesOf(site, run)) {
      const { namespace } = place;
      await load(site, run, namespace, replacements(await listLines(namespace), ownOf(place, flows)));
      await reviewFlows({ site, namespace }, true);
    }
  } catch (error) {
    warn(site, run, error, 'the connections of a guest that has moved could not be reviewed');
    throw error;
  }
}

function warn(site: DataplaneSite, { owner }: Run, error: unknown, what: string): void {
  site.options.log.warn({ part: 'dataplane', run: owner.actor, why: describeCause(error) }, what);
}

const ownOf = (place: Place, flows: readonly TrackedFlow[]): readonly TrackedFlow[] =>
  flows.filter((flow) => flow.nic === place.nic && isOf(place, trackedFlowSchema.parse(flow)));

async function load(site: DataplaneSite, { owner }: Run, namespace: string, lines: readonly string[]): Promise<void> {
  if (lines.length === 0) return;
  const what = `telling ${namespace} of the flows of ${owner.actor}`;
  // In a folder that goes with the run, for a worker that dies meanwhile. conntrack cannot read them from a socket.
  const file = path.join(pathsOf(site, owner).runFolder, 'flows');
  try {
    await writeFile(file, lines.map((line) => `${line}\n`).join(''));
    await runProgram({ program: 'nsenter', args: inside(namespace, ['-R', file]), what, outputCapBytes });
  } catch (error) {
    throw fileError(what, error);
  } finally {
    await rm(file, { force: true });
  }
}
