/**
 * A VPC with ports of this host for tests of security groups: wires ports with groups, tells sections, sends packets
 * from one guest to another and says which came out. Not part of the product.
 */
import * as assert from 'uvu/assert';
import type { GroupRule } from '@photoncloud/machines/values/group-rules';
import type { Elements, TapProof, TapSpec } from '@photoncloud/machines/values/wiring';
import type { Dataplane } from '../contract/dataplane-contract.ts';
import { FrameGuest, nextCall, openRule, realized, run, segmentAsk, tapSpec, until } from '../dataplane-for-tests.ts';
import type { TestSegment } from '../dataplane-for-tests.ts';
import { frameOf, marksOf, type TestPacket } from '../packets-for-tests.ts';

export const groupId = (name: string): string => `security-group/acme/${name}`;
export const setId = (name: string): string => `address-set/acme/${name}`;
export const rule = (more: Partial<GroupRule> & Pick<GroupRule, 'direction'>): GroupRule => ({
  ...openRule(more.direction),
  ...more,
});

/** A packet without what its sender and receiver determine, unless it says otherwise. */
export type Sample = Omit<TestPacket, 'from' | 'to' | 'fromMac' | 'mark'> &
  Partial<Pick<TestPacket, 'from' | 'to' | 'fromMac'>>;

export const addressOf = (port: number): string => `10.77.1.${port}`;
const { segment } = segmentAsk();

export class GroupVpc {
  readonly namespace: string;
  dp: Dataplane;
  readonly #guests = new Map<number, FrameGuest>();
  #mark = 0;
  #generation = 1;

  private constructor(dp: Dataplane, namespace: string) {
    this.dp = dp;
    this.namespace = namespace;
  }

  static async make(dp: Dataplane, more: Partial<TestSegment> = {}): Promise<GroupVpc> {
    return new GroupVpc(dp, (await realized(dp, segmentAsk(more))).namespace);
  }

  inside(...words: string[]): Promise<string> {
    return run('nsenter', `--net=/run/netns/${this.namespace}`, ...words);
  }

  /** Wires the port, for the first time or with other groups. */
  wire(port: number, ...names: string[]): Promise<TapProof> {
    return this.wireWith(port, { groups: names.map(groupId).sort() });
  }

  async wireWith(port: number, more: Partial<TapSpec>): Promise<TapProof> {
    const spec = tapSpec(port, more);
    if (!this.#guests.has(port)) await this.dp.createTap(spec, nextCall());
    const proof = await this.dp.wireTap(spec, nextCall());
    assert.equal(proof.groups, spec.groups);
    if (this.#guests.has(port)) return proof;
    const guest = new FrameGuest(this.namespace, proof.tap, spec.mac);
    this.#guests.set(port, guest);
    const self = { address: spec.address, prefix: spec.prefixLength, gateway: spec.gateway };
    // It answers nothing by itself: an answer would make a flow of what the test sends.
    await guest.ask({ do: 'configure', ...self, answer: false, sniff: true });
    await until('the bridge forwards for the guest', async () =>
      (await this.inside('ip', '-d', 'link', 'show', 'dev', proof.tap)).includes('state forwarding'),
    );
    return proof;
  }

  guest(port: number): FrameGuest {
    const guest = this.#guests.get(port);
    if (guest === undefined) throw new Error(`port ${port} is not wired`);
    return guest;
  }

  async remove(port: number, ...names: string[]): Promise<void> {
    await this.#guests.get(port)?.close();
    this.#guests.delete(port);
    await this.dp.removeTap(tapSpec(port, { groups: names.map(groupId) }), nextCall());
  }

  /** An increment; fails when the section does. */
  async change(section: string, put: Elements, removed: Elements = {}): Promise<void> {
    const to = (this.#generation += 1);
    const outcome = await this.dp.changeSegment({ segment, changes: [{ section, to, put, removed }] }, nextCall());
    assert.equal(outcome, { proven: { [section]: to }, failed: {} });
  }

  /** What the sections say that differs, in words. */
  async drift(more: Partial<TestSegment>): Promise<string> {
    return JSON.stringify((await this.dp.readSegment(segmentAsk(more), nextCall())).drift);
  }

  /** Which of the packets come out, in this order. */
  async passing(from: number, to: number, samples: readonly Sample[]): Promise<readonly boolean[]> {
    const [sender, receiver] = [this.guest(from), this.guest(to)];
    const packets = samples.map((sample): TestPacket => {
      this.#mark = (this.#mark % 65_535) + 1;
      const fromMac = tapSpec(from).mac;
      return { from: addressOf(from), to: addressOf(to), fromMac, ...sample, mark: this.#mark };
    });
    receiver.frames.length = 0;
    for (const { ok } of await Promise.all(packets.map((packet) => sender.ask({ do: 'send', frame: frameOf(packet) }))))
      assert.ok(ok);
    // Its answer is behind everything that was sent.
    await receiver.ask({ do: 'arp', to: '10.77.1.1', timeoutMs: 5000 });
    const sources = new Set(packets.map((packet) => packet.from));
    const arrived = new Map([...sources].map((source) => [source, new Set(marksOf(receiver.frames, source))]));
    return packets.map(({ mark, from: source }) => arrived.get(source)?.has(mark) === true);
  }

  async passes(from: number, to: number, sample: Sample): Promise<boolean> {
    return (await this.passing(from, to, [sample]))[0] === true;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#guests.values()].map((guest) => guest.close()));
  }
}
