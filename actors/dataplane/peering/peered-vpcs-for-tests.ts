/**
 * VPCs of one tenant on one host, each with a network and ports, for tests of the links between them: realizes
 * segments, changes single sections, sends packets from a guest of one VPC to a guest of another. Not part of the
 * product.
 */
import { setTimeout as pause } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import type { GroupRule } from '@photoncloud/machines/values/group-rules';
import type { PeeringHostElement } from '@photoncloud/machines/values/peering-elements';
import type { Elements } from '@photoncloud/machines/values/wiring';
import type { Dataplane } from '../contract/dataplane-contract.ts';
import { FrameGuest, nextCall, openRule, ownerOf, run, segmentAsk, tapSpec, until } from '../dataplane-for-tests.ts';
import { testNetwork, type TestProof } from '../dataplane-for-tests.ts';
import { frameOf, marksOf, sumOf, type TestPacket } from '../packets-for-tests.ts';

export const vpcNames = ['a', 'b', 'c'] as const;
export type VpcName = (typeof vpcNames)[number];

export const groupId = (name: string): string => `security-group/acme/${name}`;
export const vpcId = (name: VpcName): string => `vpc/acme/${name}`;
const octet = (name: VpcName): number => 71 + vpcNames.indexOf(name);
export const cidrOf = (name: VpcName): string => `10.${octet(name)}.1.0/24`;
export const addressIn = (name: VpcName, port = 11): string => `10.${octet(name)}.1.${port}`;
const gatewayIn = (name: VpcName): string => addressIn(name, 1);

/** What a host is told of the peering in one of its VPCs. */
export const elementFor = (
  vpc: VpcName,
  peer: VpcName,
  more: Partial<PeeringHostElement> = {},
): PeeringHostElement => ({
  peer: vpcId(peer),
  cidrs: [cidrOf(peer)],
  own: [cidrOf(vpc)],
  mtu: 1450,
  ...more,
});

/** Everybody may send; a port of `open` hears everybody, one of `web` only port 80 of members of `client`. */
export const testGroups: Readonly<Record<string, readonly GroupRule[]>> = {
  [groupId('open')]: [openRule('ingress'), openRule('egress')],
  [groupId('client')]: [openRule('egress')],
  [groupId('web')]: [
    { ...openRule('ingress'), protocol: 'tcp', ports: { from: 80, to: 80 }, remote: { group: groupId('client') } },
    { ...openRule('ingress'), protocol: 'tcp', ports: { from: 81, to: 81 }, remote: { cidr: cidrOf('a') } },
  ],
};

/** A packet without what its sender and receiver determine. */
export type Sample = Omit<TestPacket, 'from' | 'to' | 'fromMac' | 'mark'>;

/** The VPC of a port, and the last part of its address. */
export type Port = readonly [VpcName, number];

export const macIn = (name: VpcName, port = 11): string => `02:00:00:00:${octet(name)}:${port}`;

export class PeeredVpcs {
  dp: Dataplane;
  readonly namespaces = new Map<VpcName, string>();
  readonly #guests = new Map<string, FrameGuest>();
  readonly #taps = new Map<string, ReturnType<typeof tapSpec>>();
  #generation = 100;
  #mark = 0;

  constructor(dp: Dataplane) {
    this.dp = dp;
  }

  ask(name: VpcName, peerings: Elements = {}, mtu = 1400) {
    const subnets = [{ name: 's', cidr: cidrOf(name), gateway: gatewayIn(name) }];
    const { segment, sections } = segmentAsk({
      owner: ownerOf(`segment/acme/${name}@w1`),
      vpc: vpcId(name),
      vni: 7700 + octet(name),
      networks: [testNetwork({ network: `network/acme/${name}`, subnets, mtu })],
      groups: testGroups,
    });
    return { segment, sections: { ...sections, peerings: { generation: 1, elements: peerings } } };
  }

  /** Makes the segment, or makes it anew. @param mtu of its network */
  async realize(name: VpcName, peerings: Elements = {}, mtu = 1400): Promise<TestProof> {
    const { failed, proof } = await this.dp.realizeSegment(this.ask(name, peerings, mtu), nextCall());
    assert.equal(failed, {});
    this.namespaces.set(name, String(proof['namespace']));
    return proof as unknown as TestProof;
  }

  async change(name: VpcName, section: string, put: Elements, removed: Elements = {}): Promise<void> {
    const to = (this.#generation += 1);
    const { segment } = this.ask(name);
    const outcome = await this.dp.changeSegment({ segment, changes: [{ section, to, put, removed }] }, nextCall());
    assert.equal(outcome, { proven: { [section]: to }, failed: {} });
  }

  /** What differs from these elements, in words. */
  async drift(name: VpcName, peerings: Elements): Promise<string> {
    return JSON.stringify((await this.dp.readSegment(this.ask(name, peerings), nextCall())).drift);
  }

  inside(name: VpcName, ...words: string[]): Promise<string> {
    return run('nsenter', `--net=/run/netns/${this.namespaces.get(name)}`, ...words);
  }

  async wire(name: VpcName, group: string, port = 11): Promise<FrameGuest> {
    const [address, mac] = [addressIn(name, port), macIn(name, port)];
    const spec = tapSpec(port, {
      owner: ownerOf(`binding/acme/${name}-${port}.eth0@w1`),
      vpc: vpcId(name),
      network: `network/acme/${name}`,
      port: `port/acme/${name}-${port}.eth0`,
      gateway: gatewayIn(name),
      groups: [groupId(group)],
      address,
      mac,
    });
    await this.dp.createTap(spec, nextCall());
    const { tap } = await this.dp.wireTap(spec, nextCall());
    const guest = new FrameGuest(String(this.namespaces.get(name)), tap, mac);
    await guest.ask({ do: 'configure', address, prefix: 24, gateway: gatewayIn(name), answer: true, sniff: true });
    this.#guests.set(address, guest);
    this.#taps.set(address, spec);
    await until('the bridge forwards for the guest', async () =>
      (await this.inside(name, 'ip', '-d', 'link', 'show', 'dev', tap)).includes('state forwarding'),
    );
    return guest;
  }

  guest(address: string): FrameGuest {
    const guest = this.#guests.get(address);
    if (guest === undefined) throw new Error(`no guest has ${address}`);
    return guest;
  }

  /** How many of three echoes are answered. */
  async pinged(from: string, to: string): Promise<unknown> {
    const asked = { do: 'ping', to, count: 3, intervalMs: 10, timeoutMs: 1_000 } as const;
    return (await this.guest(from).ask(asked))['received'];
  }

  private async sent(from: Port, to: Port, sample: Sample): Promise<() => boolean> {
    const [source, destination] = [addressIn(...from), addressIn(...to)];
    this.#mark = (this.#mark % 60_000) + 1;
    const mark = this.#mark;
    const packet = { ...sample, from: source, to: destination, fromMac: macIn(...from), mark };
    const receiver = this.guest(destination);
    receiver.frames.length = 0;
    assert.ok((await this.guest(source).ask({ do: 'send', frame: frameOf(packet) }))['ok']);
    return () => marksOf(receiver.frames, source).includes(mark);
  }

  /** Waits until the packet comes out at the receiver. */
  async arrives(from: Port, to: Port, sample: Sample): Promise<void> {
    const hasArrived = await this.sent(from, to, sample);
    await until(`${addressIn(...to)} gets ${JSON.stringify(sample)}`, hasArrived);
  }

  /** The packet does not come out. */
  async isStopped(from: Port, to: Port, sample: Sample): Promise<void> {
    const hasArrived = await this.sent(from, to, sample);
    await this.guest(addressIn(...to)).ask({ do: 'arp', to: gatewayIn(to[0]), timeoutMs: 5000 });
    // A packet that is let through over a link takes far less than this.
    await pause(50);
    assert.not.ok(hasArrived(), `${addressIn(...to)} gets ${JSON.stringify(sample)}`);
  }

  /** Sends an echo of this length that may not be fragmented. @returns its mark */
  async bigEcho(from: VpcName, to: VpcName, length: number): Promise<number> {
    this.#mark = (this.#mark % 60_000) + 1;
    const packet = { protocol: 1, from: addressIn(from), to: addressIn(to), fromMac: macIn(from), mark: this.#mark };
    const short = Buffer.from(frameOf(packet), 'hex');
    const frame = Buffer.concat([short, Buffer.alloc(14 + length - short.length)]);
    frame.writeUInt16BE(length, 16);
    frame.writeUInt16BE(0x4000, 20);
    frame.writeUInt16BE(0, 24);
    frame.writeUInt16BE(sumOf(frame.subarray(14, 34)), 24);
    frame.writeUInt16BE(0, 36);
    frame.writeUInt16BE(sumOf(frame.subarray(34)), 36);
    this.guest(addressIn(to)).frames.length = 0;
    assert.ok((await this.guest(addressIn(from)).ask({ do: 'send', frame: frame.toString('hex') }))['ok']);
    return this.#mark;
  }

  /** The MTUs that frag-needed errors about the packet with this mark tell. */
  fragNeeded(frames: readonly string[], mark: number): readonly number[] {
    return frames
      .map((frame) => Buffer.from(frame, 'hex'))
      .filter((frame) => frame.length >= 62 && frame[23] === 1 && frame[34] === 3 && frame[35] === 4)
      .filter((frame) => frame.readUInt16BE(46) === mark)
      .map((frame) => frame.readUInt16BE(40));
  }

  /** Another MTU of the network's bridge, as a network of the VPC declares it. */
  async narrow(name: VpcName, mtu: number): Promise<void> {
    const network = this.ask(name, {}, mtu).sections.networks.elements[`network/acme/${name}`];
    await this.change(name, 'networks', { [`network/acme/${name}`]: network });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#guests.values()].map((guest) => guest.close()));
  }

  async removePorts(): Promise<void> {
    await this.close();
    for (const spec of this.#taps.values()) await this.dp.removeTap(spec, nextCall());
    this.#guests.clear();
    this.#taps.clear();
  }
}
