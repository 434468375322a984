/**
 * Shared by the dataplane's tests: new network, mount and process namespaces around the whole test process (so that
 * every kernel object disappears with it, also after a crash), options of a dataplane, and specs. Not part of the
 * product.
 */
import { createHash } from 'node:crypto';
import { execFile, spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, rmdirSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Fence } from '@photoncloud/runtime/contract/effect';
import type { Log } from '@photoncloud/runtime/contract/log';
import type { GroupRule } from '@photoncloud/machines/values/group-rules';
import type { HostFacts, NetworkSpec, OwnerToken, RouteSpec, TapSpec } from '@photoncloud/machines/values/wiring';
import type { Call } from './contract/call-contract.ts';
import type { Dataplane, DataplaneOptions } from './contract/dataplane-contract.ts';
import type { SegmentOutcome } from './contract/network-contract.ts';
import { parentGroup } from './hypervisor/qemu-cgroup.ts';
import { createDataplane } from './linux-dataplane.ts';
import { patienceMs } from '@photoncloud/runtime/contract/patience-for-tests';

const insideMark = 'PHOTON_TEST_INSIDE';
const top = path.resolve(import.meta.dirname, '../..');

/**
 * Declares the file's tests so that they run in network, mount and process namespaces of their own. Called outside
 * these namespaces it declares one test, which runs the file again inside them. Whatever the tests leave, processes
 * included, ends with the namespaces. Without root the test is skipped and the reason is printed.
 */
export function inOwnNamespaces(file: string, declare: () => void): void {
  const name = path.basename(file);
  if (process.env[insideMark] === 'yes') declare();
  else if (process.getuid?.() !== 0) test.skip(`${name} needs root for network namespaces`);
  else test(`${name} in namespaces of its own`, () => runInside(file));
}

async function runInside(file: string): Promise<void> {
  // Other test processes have runs of the same names.
  const group = makeTestGroup();
  const join = group === null ? '' : `echo 0 >${group}/cgroup.procs && `;
  const script = `${join}mount -t tmpfs tmpfs /run && ip link set lo up && exec "$@"`;
  const unshare = ['--net', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child', 'sh', '-c', script, 'sh'];
  // When this process is killed, unshare and everything inside must end too. unshare ignores SIGTERM while it waits,
  // so it gets SIGKILL.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', ...unshare, process.execPath, file], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, [insideMark]: 'yes' },
  });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  if (group !== null) await until('the control groups are removed', () => removeGroups(group));
  assert.is(code, 0, `the tests inside the namespaces failed; their output is above`);
}

/** A control group below that of this process, or null where there is none. */
function makeTestGroup(): string | null {
  const above = parentGroup(readFileSync('/proc/self/mountinfo', 'utf8'), readFileSync('/proc/self/cgroup', 'utf8'));
  if (above === null) return null;
  const group = path.join(above, `photon-test-${process.pid}`);
  // Of test processes that were killed.
  for (const name of readdirSync(above).filter((one) => /^photon-test-\d+$/.test(one)))
    if (!existsSync(`/proc/${name.slice('photon-test-'.length)}`)) removeGroups(path.join(above, name));
  try {
    mkdirSync(group);
    return group;
  } catch {
    return null;
  }
}

/** Removes a group and all below it. @returns whether they are gone */
function removeGroups(group: string): boolean {
  try {
    for (const one of readdirSync(group, { withFileTypes: true }))
      if (one.isDirectory()) removeGroups(path.join(group, one.name));
    rmdirSync(group);
  } catch {
    // A process in it is still ending, or somebody else has removed it.
  }
  return !existsSync(group);
}

/** The QEMU that set-up found, or null. */
export function testQemu(): DataplaneOptions['qemu'] | null {
  const toolchain = path.join(top, '.cache/toolchain.json');
  return existsSync(toolchain) ? JSON.parse(readFileSync(toolchain, 'utf8')).qemu : null;
}

/** Runs a program; rejects with its stderr. */
export async function run(program: string, ...args: string[]): Promise<string> {
  return (await promisify(execFile)(program, args, { encoding: 'utf8' })).stdout;
}

/** Polls every 20 ms until `holds` answers true. @throws Error that names `what` when the time is over */
export async function until(
  what: string,
  holds: () => Promise<boolean> | boolean,
  withinMs = patienceMs(),
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`${what}: did not happen within ${withinMs} ms`);
    await pause(20);
  }
}

/** The code of the error that `work` rejects with; the test fails when `work` resolves. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  const outcome = await work.then(
    (value) => assert.unreachable(`no error but ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  if (outcome instanceof PhotonError) return outcome.record.code;
  throw outcome;
}

/** A guest without QEMU: drives cluster-tests/harness/tap-guest.pl, whose head lists the commands. */
export class FrameGuest {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers = new Map<number, (answer: Record<string, unknown>) => void>();
  /** What it has received in hex, once it was told to `sniff`; a test empties it. */
  readonly frames: string[] = [];
  #lastId = 0;

  constructor(namespace: string, tap: string, mac: string) {
    const script = path.join(top, 'cluster-tests/harness/tap-guest.pl');
    this.#child = spawn('nsenter', [`--net=/run/netns/${namespace}`, 'perl', script, tap, mac]);
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const answer = JSON.parse(line) as Record<string, unknown>;
      if (answer['event'] === 'frame') this.frames.push(String(answer['frame']));
      this.#answers.get(Number(answer['id']))?.(answer);
    });
    this.#child.stderr.on('data', (text: Buffer) => console.error(`tap guest: ${text.toString()}`));
  }

  ask(command: Record<string, string | number | boolean>): Promise<Record<string, unknown>> {
    const id = ++this.#lastId;
    const answer = new Promise<Record<string, unknown>>((resolve) => this.#answers.set(id, resolve));
    this.#child.stdin.write(`${JSON.stringify({ id, ...command })}\n`);
    return answer;
  }

  async close(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin.end();
    await gone;
  }
}

export function makeTestFolder(): { folder: string; remove: () => void } {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'photon-dataplane-'));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

export const quietLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: (fields, message) => console.error(message, fields),
  child: () => quietLog,
};

export function testOptions(folder: string, more: Partial<DataplaneOptions> = {}): DataplaneOptions {
  return {
    prefix: 'tst',
    cluster: 'test',
    host: 'w1',
    folder,
    allowedRoots: [],
    imageOwnerUid: null,
    storage: false,
    allowedSources: [],
    nodeAddresses: () => [],
    underlay: '127.0.0.1',
    qemu: { binary: 'qemu-system-x86_64' },
    openSecret: (_, sealed) => sealed,
    migrationKey: (migration) => createHash('sha256').update(migration).digest(),
    exportKey: (name) => createHash('sha256').update(name).digest(),
    fetchBlob: async () => {
      throw new Error('no other host in this test');
    },
    fetchSnapshot: async () => {
      throw new Error('no other host in this test');
    },
    log: quietLog,
    ...more,
  };
}

/** A dataplane with a folder of its own; both end after the file's last test. */
export function openForTests(more: Partial<DataplaneOptions> = {}): { opened: Promise<Dataplane>; folder: string } {
  const { folder, remove } = makeTestFolder();
  const opened = createDataplane(testOptions(folder, more));
  test.after(async () => {
    await (await opened).close();
    remove();
  });
  return { opened, folder };
}

let version = 0;
/** A call with the next version; a test passes `fence` to send an older one. */
export function nextCall(fence: Partial<Fence> = {}, signal: AbortSignal = new AbortController().signal): Call {
  version += 1;
  return { fence: { era: 1, ownerEpoch: 1, version, ...fence }, signal };
}

export const ownerOf = (actor: string, runEpoch = 1, uid = '01TESTUID0000000000000000A'): OwnerToken => ({
  actor,
  uid,
  runEpoch,
});

/** What a run has at the least: of an IncarnationSpec, all but its names and disks. */
export const smallGuest = { cpus: 1, memoryMib: 64, machineType: null, boot: null, nics: [] } as const;

export const testNetwork = (more: Partial<NetworkSpec> = {}): NetworkSpec => ({
  network: 'network/acme/front',
  uid: '01TESTNET',
  mtu: 1400,
  subnets: [{ name: 'a', cidr: '10.77.1.0/24', gateway: '10.77.1.1' }],
  dhcp: { leaseSeconds: 3600, dns: ['9.9.9.9'], domain: 'acme.internal', search: [], ntp: [] },
  ...more,
});

export const openGroup = 'security-group/acme/default';
export const openRule = (direction: GroupRule['direction']): GroupRule => ({
  direction,
  protocol: 'any',
  ports: null,
  icmp: null,
  remote: null,
});
/** Of the group that test ports have unless they say another: everything is admitted. */
const openRules: readonly GroupRule[] = [openRule('ingress'), openRule('egress')];

export interface TestSegment {
  readonly owner: OwnerToken;
  readonly vpc: string;
  readonly vni: number;
  readonly mtu: number;
  readonly self: HostFacts;
  readonly peers: readonly HostFacts[];
  readonly networks: readonly NetworkSpec[];
  readonly routes: readonly RouteSpec[];
  readonly groups: Readonly<Record<string, readonly GroupRule[]>>;
  /** Address -> its groups. */
  readonly members: Readonly<Record<string, readonly string[]>>;
  readonly addressSets: Readonly<Record<string, readonly string[]>>;
  /** Of every section. */
  readonly generation: number;
}

/** What `realizeSegment` takes. */
export function segmentAsk(more: Partial<TestSegment> = {}) {
  const segment: TestSegment = {
    owner: ownerOf('segment/acme/main@w1'),
    vpc: 'vpc/acme/main',
    vni: 7701,
    mtu: 1450,
    self: { name: 'w1', index: 1, underlay: '127.0.0.1', underlayMtu: 1500 },
    peers: [],
    networks: [testNetwork()],
    routes: [],
    groups: { [openGroup]: openRules },
    members: {},
    addressSets: {},
    generation: 1,
    ...more,
  };
  const { owner, vpc, vni, mtu, self, peers, networks, routes, generation } = segment;
  const each = <Value>(values: Readonly<Record<string, Value>>, element: (value: Value) => unknown) => ({
    generation,
    elements: Object.fromEntries(Object.entries(values).map(([key, value]) => [key, element(value)])),
  });
  const hosts = Object.fromEntries(peers.map((peer) => [`peer/${peer.name}`, peer]));
  return {
    segment: { owner, vpc },
    sections: {
      overlay: { generation, elements: { vni, mtu, self, ...hosts } },
      networks: { generation, elements: Object.fromEntries(networks.map((one) => [one.network, one])) },
      routes: { generation, elements: Object.fromEntries(routes.map((one) => [one.address, one])) },
      'address-sets': each(segment.addressSets, (cidrs) => ({ cidrs })),
      'security-groups': each(segment.groups, (rules) => ({ rules })),
      'group-members': each(segment.members, (groups) => ({ groups })),
    },
  };
}

interface TestBridge {
  readonly ifindex: number;
  readonly mtu: number;
  readonly dnsmasqPid: number;
}

/** The dnsmasq of the network that `testNetwork` declares; 0 when none is proven. */
export const dnsmasqOf = ({ bridges }: Pick<TestProof, 'bridges'>): number =>
  bridges['network/acme/front']?.dnsmasqPid ?? 0;

/** The facts of the sections that stand. */
export interface TestProof {
  readonly namespace: string;
  readonly vxlanIfindex: number;
  readonly nftGeneration: number;
  readonly bridges: Readonly<Record<string, TestBridge>>;
}

/** Realizes it; fails when a section does. */
export async function realized(dp: Dataplane, ask: ReturnType<typeof segmentAsk> = segmentAsk()): Promise<TestProof> {
  const { failed, proven, proof } = await dp.realizeSegment(ask, nextCall());
  assert.equal(failed, {});
  assert.equal(Object.keys(proven), Object.keys(ask.sections));
  return proof as unknown as TestProof;
}

/** Why a section failed; `proven` when it did not. */
export async function codeIn(work: Promise<SegmentOutcome>, section: string): Promise<string> {
  return (await work).failed[section]?.code ?? 'proven';
}

export function tapSpec(index = 11, more: Partial<TapSpec> = {}): TapSpec {
  return {
    owner: ownerOf(`binding/acme/web-${index}.eth0@w1`),
    vpc: 'vpc/acme/main',
    network: 'network/acme/front',
    port: `port/acme/web-${index}.eth0`,
    mac: `02:00:00:00:77:${index.toString(16).padStart(2, '0')}`,
    address: `10.77.1.${index}`,
    prefixLength: 24,
    gateway: '10.77.1.1',
    mtu: 1400,
    hostname: `web-${index}`,
    groups: [openGroup],
    ...more,
  };
}
