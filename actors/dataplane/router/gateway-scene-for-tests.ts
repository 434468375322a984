/**
 * Hosts, an outside and guests for tests of a VPC's way out, all in network namespaces of this test: two gateway hosts
 * g1 and g2 and a worker w3 on an underlay, a bridge that is the external network, and behind it a router `out` with
 * a server. Guests have the network stack of a kernel and hang on taps of the dataplane. Not part of the product.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import * as assert from 'uvu/assert';
import { PhotonError, type ErrorRecord } from '@photoncloud/runtime/contract/errors';
import type { GatewayElement } from '@photoncloud/machines/values/router-elements';
import type { Elements, HostFacts, TapProof, TapSpec } from '@photoncloud/machines/values/wiring';
import type { SegmentOutcome, SegmentReading } from '../contract/network-contract.ts';
import { ownerOf, run, segmentAsk, tapSpec, testNetwork, until, type TestSegment } from '../dataplane-for-tests.ts';
import { KernelNames } from '../kernel-names.ts';
import { Guest, settings, started } from './gateway-guests-for-tests.ts';

export const names = new KernelNames('tst');

export const upstream = '203.0.113.1';
export const server = '198.51.100.7';
const underlayMtu = 1_500;
export const overlayMtu = 1_450;

export const facts: Readonly<Record<string, HostFacts>> = Object.fromEntries(
  ['g1', 'g2', 'w3'].map((name, at) => [
    name,
    { name, index: at + 1, underlay: `192.0.2.${at + 1}`, underlayMtu } satisfies HostFacts,
  ]),
);
export const factsOf = (host: string): HostFacts => facts[host] ?? (assert.unreachable(`no host ${host}`) as never);

const errorOf = ({ group, code, message }: ErrorRecord): PhotonError => new PhotonError(group, code, message);

/** Called after the last test of a file: otherwise its process would go on. */
export async function closeScene(): Promise<void> {
  await Promise.all(
    [...started].map(async (child) => {
      // Programs that it has started may have them open still.
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    }),
  );
}

/** A dataplane in the namespace of a host. */
export class TestHost {
  readonly name: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers = new Map<number, (answer: { value?: unknown; error?: ErrorRecord }) => void>();
  #lastId = 0;

  private constructor(name: string, child: ChildProcessWithoutNullStreams) {
    this.name = name;
    started.add(child);
    this.#child = child;
    child.stderr.on('data', (text: Buffer) => console.error(`${name}: ${text.toString()}`));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const answer = JSON.parse(line) as { id: number; value?: unknown; error?: ErrorRecord };
      this.#answers.get(answer.id)?.(answer);
    });
  }

  /** A process with a dataplane; another one may follow it, as after a crash. */
  static async open(name: string): Promise<TestHost> {
    const main = path.join(import.meta.dirname, 'gateway-host-for-tests.ts');
    const options = JSON.stringify({ host: name, underlay: factsOf(name).underlay });
    // The private /run of a host is kept by the process that sleeps in it: see `makeHost`.
    const enter = [`--net=/run/netns/${name}`, `--mount=/run/${name}.mnt`];
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'nsenter', ...enter, process.execPath, main, options], {
      stdio: 'pipe',
    });
    const host = new TestHost(name, child);
    await new Promise<void>((resolve) => host.#answers.set(0, () => resolve()));
    return host;
  }

  /** @returns its id, to abort it, and its outcome, which rejects with a PhotonError */
  begin(method: string, params: unknown, recovered = false): { id: number; outcome: Promise<unknown> } {
    const id = ++this.#lastId;
    const outcome = new Promise<unknown>((resolve, reject) =>
      this.#answers.set(id, ({ value, error }) => (error === undefined ? resolve(value) : reject(errorOf(error)))),
    );
    this.#child.stdin.write(`${JSON.stringify({ id, method, params, recovered })}\n`);
    return { id, outcome };
  }

  ask<Value>(method: string, params: unknown): Promise<Value> {
    return this.begin(method, params).outcome as Promise<Value>;
  }

  abort(id: number): void {
    this.#child.stdin.write(`${JSON.stringify({ id: ++this.#lastId, abort: id })}\n`);
  }

  /** Nothing of the process goes on; its kernel does. */
  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill(signal);
    await gone;
  }

  /** A program in the host's own namespace. */
  exec(...words: string[]): Promise<string> {
    return run('nsenter', `--net=/run/netns/${this.name}`, `--mount=/run/${this.name}.mnt`, ...words);
  }

  /** A program in a namespace of the host. */
  inside(namespace: string, ...words: string[]): Promise<string> {
    return this.exec('nsenter', `--net=/run/netns/${namespace}`, ...words);
  }
}

/** An interface of a host, and its other end on a bridge. */
async function plug(host: string, inner: string, outer: string, bridge: string): Promise<void> {
  await run('ip', 'link', 'add', outer, 'mtu', '1500', 'type', 'veth', 'peer', 'name', inner, 'netns', host);
  await run('ip', 'link', 'set', outer, 'master', bridge, 'up');
  await run('ip', '-n', host, 'link', 'set', inner, 'mtu', '1500', 'up');
}

/** Makes `ext1` of a gateway host, also when it was deleted. */
export const plugUplink = (host: string): Promise<void> => plug(host, 'ext1', `x${factsOf(host).index}`, 'xbr');

async function makeHost(name: string, isGateway: boolean): Promise<void> {
  const { index, underlay } = factsOf(name);
  await run('ip', 'netns', 'add', name);
  await run('ip', 'netns', 'exec', name, 'sysctl', '-q', '-w', ...settings);
  await run('ip', '-n', name, 'link', 'set', 'lo', 'up');
  await plug(name, 'und0', `u${index}`, 'ubr');
  await run('ip', '-n', name, 'addr', 'add', `${underlay}/24`, 'dev', 'und0');
  if (isGateway) await plugUplink(name);
  // A mount namespace can only be kept by a file outside of it, on a mount that is not shared.
  await run('touch', `/run/${name}.mnt`);
  const enter = ['sh', '-c', 'mount -t tmpfs tmpfs /run && mkdir /run/netns'];
  const keep = (): Promise<boolean> =>
    run('unshare', `--mount=/run/${name}.mnt`, ...enter).then(
      () => true,
      () => false,
    );
  // unshare now and then keeps its old namespace before it has the new one, which the kernel refuses.
  await until(`${name} has a private /run`, keep);
}

/** Underlay, external network, the router behind it, and the hosts. */
export async function makeScene(): Promise<Readonly<Record<'g1' | 'g2' | 'w3', TestHost>>> {
  await run('mount', '--make-private', '/run');
  await run('sysctl', '-q', '-w', ...settings);
  for (const bridge of ['ubr', 'xbr']) {
    await run('ip', 'link', 'add', bridge, 'type', 'bridge', 'forward_delay', '0', 'mcast_snooping', '0');
    await run('ip', 'link', 'set', bridge, 'up');
  }
  await run('ip', 'netns', 'add', 'out');
  await run('ip', 'netns', 'exec', 'out', 'sysctl', '-q', '-w', ...settings, 'net.ipv4.ip_forward=1');
  await run('ip', 'link', 'add', 'xout', 'type', 'veth', 'peer', 'name', 'ext', 'netns', 'out');
  await run('ip', 'link', 'set', 'xout', 'master', 'xbr', 'up');
  await run('ip', '-n', 'out', 'link', 'set', 'lo', 'up');
  await run('ip', '-n', 'out', 'link', 'set', 'ext', 'up');
  await run('ip', '-n', 'out', 'addr', 'add', `${upstream}/24`, 'dev', 'ext');
  await run('ip', '-n', 'out', 'addr', 'add', `${server}/32`, 'dev', 'lo');
  await makeHost('g1', true);
  await makeHost('g2', true);
  await makeHost('w3', false);
  const [g1, g2, w3] = await Promise.all(['g1', 'g2', 'w3'].map((name) => TestHost.open(name)));
  assert.ok(g1 !== undefined && g2 !== undefined && w3 !== undefined);
  return { g1, g2, w3 };
}

/** A program in the router outside. */
export const outside = (...words: string[]): Promise<string> => run('ip', 'netns', 'exec', 'out', ...words);

export const element = (active: number | null, more: Partial<GatewayElement> = {}): GatewayElement => ({
  network: 'external-network/system/public',
  cidr: '203.0.113.0/24',
  upstream,
  interface: 'ext1',
  mtu: 1_500,
  gateways: [factsOf('g1'), factsOf('g2')],
  active,
  snat: '203.0.113.9',
  ...more,
});

/** A VPC on all hosts, whose addresses of ports say where they are. */
export class TestVpc {
  readonly id: string;
  readonly #vni: number;
  #hosts: readonly TestHost[];
  readonly #more: Partial<TestSegment>;
  readonly #places = new Map<string, string>();
  readonly #wanted: Record<string, Record<string, unknown>> = {
    'static-routes': {},
    gateway: {},
    'external-addresses': {},
    ranges: {},
  };
  #generation = 1;

  constructor(id: string, vni: number, hosts: readonly TestHost[], more: Partial<TestSegment> = {}) {
    this.id = id;
    this.#vni = vni;
    this.#hosts = hosts;
    this.#more = { networks: [testNetwork({ mtu: overlayMtu })], mtu: overlayMtu, ...more };
    for (const { subnets } of this.#more.networks ?? [])
      for (const { cidr } of subnets) (this.#wanted['ranges'] ??= {})[cidr] = {};
  }

  /** The same VPC over these processes. */
  with(hosts: readonly TestHost[]): this {
    this.#hosts = hosts;
    return this;
  }

  get namespace(): string {
    return names.namespaceOf(this.id);
  }

  get gateway(): string {
    return names.besideOf(this.namespace);
  }

  get suffix(): string {
    return this.id.replace('vpc/', '');
  }

  owner(host: string) {
    return ownerOf(`segment/${this.suffix}@${host}`);
  }

  /** What `realizeSegment` and `readSegment` take for this host now. */
  ask(host: string) {
    const others = Object.values(facts).filter(({ name }) => name !== host);
    const elsewhere = [...this.#places].filter(([, at]) => at !== host);
    const { segment, sections } = segmentAsk({
      owner: this.owner(host),
      vpc: this.id,
      vni: this.#vni,
      self: factsOf(host),
      peers: others,
      routes: elsewhere.map(([address, at]) => ({ address, host: factsOf(at).index })),
      generation: this.#generation,
      ...this.#more,
    });
    const added = Object.entries(this.#wanted).map(([name, elements]) => [
      name,
      { generation: this.#generation, elements },
    ]);
    return { segment, sections: { ...sections, ...Object.fromEntries(added) } };
  }

  /** All of it on all hosts, or on some. */
  async realize(hosts = this.#hosts): Promise<void> {
    for (const host of hosts) {
      const ask = () => host.ask<SegmentOutcome>('realizeSegment', this.ask(host.name));
      let { failed } = await ask();
      // As a segment does: the kernel removes a namespace some time after its name.
      await until(`${host.name} has its segment`, async () => {
        if (Object.values(failed).every(({ code }) => code !== 'kernel_busy')) return true;
        ({ failed } = await ask());
        return false;
      });
      assert.equal(failed, {}, host.name);
    }
  }

  /** One change of a section on all hosts, or on some. */
  async change(section: string, put: Elements, removed: readonly string[] = [], hosts = this.#hosts): Promise<void> {
    const kept = (this.#wanted[section] ??= {});
    const gone = Object.fromEntries(removed.map((key) => [key, kept[key]]));
    for (const key of removed) delete kept[key];
    Object.assign(kept, put);
    await this.tell(section, put, gone, hosts);
  }

  async tell(section: string, put: Elements, removed: Elements, hosts = this.#hosts): Promise<void> {
    const to = ++this.#generation;
    for (const host of hosts) {
      const changes = [{ section, to, put, removed }];
      const outcome = await host.ask<SegmentOutcome>('changeSegment', {
        segment: { owner: this.owner(host.name), vpc: this.id },
        changes,
      });
      assert.equal(outcome, { proven: { [section]: to }, failed: {} }, host.name);
    }
  }

  /** Of the sections of the way out. */
  async drift(host: TestHost): Promise<Readonly<Record<string, readonly string[]>>> {
    return (await host.ask<SegmentReading>('readSegment', this.ask(host.name))).drift;
  }

  /** Wires a port on a host; the others get its route. */
  async bind(host: TestHost, index: number, more: Partial<TapSpec> = {}): Promise<Guest> {
    const spec = tapSpec(index, {
      vpc: this.id,
      owner: ownerOf(`binding/${this.suffix.split('/')[0]}/p-${index}@${host.name}`),
      mtu: overlayMtu,
      ...more,
    });
    await host.ask('createTap', spec);
    const proof = await host.ask<TapProof>('wireTap', spec);
    this.#places.set(spec.address, host.name);
    const route = { [spec.address]: { address: spec.address, host: factsOf(host.name).index } };
    await this.tell(
      'routes',
      route,
      {},
      this.#hosts.filter((one) => one !== host),
    );
    return Guest.open(host, this, spec, proof);
  }

  /** The port is on no host any more. */
  async unbind(guest: Guest): Promise<void> {
    await guest.close();
    await guest.host.ask('removeTap', guest.spec);
    const { address } = guest.spec;
    this.#places.delete(address);
    const route = { [address]: { address, host: factsOf(guest.host.name).index } };
    await this.tell(
      'routes',
      {},
      route,
      this.#hosts.filter((one) => one !== guest.host),
    );
  }

  async remove(): Promise<void> {
    for (const host of this.#hosts) await host.ask('removeSegment', { owner: this.owner(host.name), vpc: this.id });
  }
}
