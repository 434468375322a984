/**
 * Two rows of the network bench on the dataplane of one host: a port joins large security groups, and a port is wired
 * beside few and beside many others. Called by network-host-main.ts, in namespaces of its own.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Dataplane } from '@photoncloud/actors/dataplane/linux-dataplane';
import {
  nextCall,
  openRule,
  ownerOf,
  realized,
  run,
  segmentAsk,
  tapSpec,
  testNetwork,
  until,
} from '@photoncloud/actors/dataplane/dataplane-for-tests';
import { memberSet } from '@photoncloud/actors/dataplane/security-group/group-chains';
import type { TapSpec } from '@photoncloud/machines/values/wiring';
import { runBareLeg } from './bare-leg.ts';
import type { RowReport } from './bench-goals.ts';
import { memberGoals, wiringGoals } from './network-goals.ts';
import { forEachOf } from './runtime-stage.ts';

export interface HostScene {
  /** Of each large security group. */
  readonly members: number;
  /** The port is wired beside so many others. */
  readonly wired: number;
}

const few = 10;
const stepsInRound = 6;

const byte = (value: number, shift: number): number => (value >> shift) & 255;
/** A network is a bridge, and a bridge of Linux takes 1,023 ports. */
const portsOfNetwork = 900;
const networkOf = (index: number): number => Math.floor(index / portsOfNetwork);
const addressIn = (network: number, at: number): string =>
  `10.${80 + (network >> 6)}.${((network & 63) << 2) + byte(at, 8)}.${byte(at, 0)}`;
const gatewayOf = (network: number): string => addressIn(network, 1);
const addressOf = (index: number): string => addressIn(networkOf(index), 16 + (index % portsOfNetwork));
const macOf = (index: number): string =>
  `02:00:00${[16, 8, 0].map((shift) => `:${byte(index, shift).toString(16).padStart(2, '0')}`).join('')}`;

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** A VPC whose security groups all have the same members. */
class BenchVpc {
  readonly #dp: Dataplane;
  readonly #name: string;
  readonly #groups: readonly string[];
  readonly #ask: ReturnType<typeof segmentAsk>;
  namespace = '';
  #generation = 1;

  constructor(dp: Dataplane, name: string, vni: number, groups: readonly string[], members: number) {
    this.#dp = dp;
    this.#name = name;
    this.#groups = groups;
    // The ports that a row wires beside these are in the last one or in the one after it.
    const networks = range(networkOf(members) + 2).map((at) => {
      const subnets = [{ name: 'a', cidr: `${addressIn(at, 0)}/22`, gateway: gatewayOf(at) }];
      return testNetwork({ network: `network/acme/${name}-${at}`, subnets });
    });
    this.#ask = segmentAsk({
      owner: ownerOf(`segment/acme/${name}@w1`),
      vpc: `vpc/acme/${name}`,
      vni,
      networks,
      groups: Object.fromEntries(
        groups.map((group) => [group, [{ ...openRule('ingress'), remote: { group } }, openRule('egress')]]),
      ),
      members: Object.fromEntries(range(members).map((index) => [addressOf(index), groups])),
    });
  }

  async make(): Promise<void> {
    this.namespace = (await realized(this.#dp, this.#ask)).namespace;
  }

  /** Wires the port, with its groups. @returns ms */
  async wire(index: number): Promise<number> {
    const spec = this.#spec(index);
    const at = performance.now();
    await this.#dp.createTap(spec, nextCall());
    await this.#dp.wireTap(spec, nextCall());
    return performance.now() - at;
  }

  async remove(index: number): Promise<void> {
    await this.#dp.removeTap(this.#spec(index), nextCall());
  }

  #spec(index: number): TapSpec {
    const name = this.#name;
    return tapSpec(index, {
      owner: ownerOf(`binding/acme/${name}-${index}@w1`),
      vpc: `vpc/acme/${name}`,
      network: `network/acme/${name}-${networkOf(index)}`,
      port: `port/acme/${name}-${index}`,
      mac: macOf(index),
      address: addressOf(index),
      prefixLength: 22,
      gateway: gatewayOf(networkOf(index)),
      groups: this.#groups,
    });
  }

  /** The port joins or leaves its groups. @returns ms */
  async member(index: number, joins: boolean): Promise<number> {
    const elements = { [addressOf(index)]: { groups: this.#groups } };
    const [put, removed] = joins ? [elements, {}] : [{}, elements];
    const to = (this.#generation += 1);
    const ask = { segment: this.#ask.segment, changes: [{ section: 'group-members', to, put, removed }] };
    const at = performance.now();
    const { failed } = await this.#dp.changeSegment(ask, nextCall());
    const ms = performance.now() - at;
    if (Object.keys(failed).length > 0) throw new Error(`group-members: ${JSON.stringify(failed)}`);
    return ms;
  }

  inside(...argv: string[]): string[] {
    return ['nsenter', `--net=/run/netns/${this.namespace}`, ...argv];
  }
}

/** Counts elements of sets that change, as the kernel reports them. */
class ElementMonitor {
  readonly #vpc: BenchVpc;
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  #marks = 0;

  private constructor(vpc: BenchVpc) {
    this.#vpc = vpc;
    const [program = '', ...rest] = vpc.inside('stdbuf', '-oL', 'nft', '-n', 'monitor', 'elements');
    this.#child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
    if (this.#child.stdout !== null)
      createInterface({ input: this.#child.stdout }).on('line', (line) => this.#lines.push(line));
  }

  static async start(vpc: BenchVpc): Promise<ElementMonitor> {
    const monitor = new ElementMonitor(vpc);
    await monitor.#nft('add table inet bench; add set inet bench marks { type mark; }');
    await monitor.#reported();
    return monitor;
  }

  async #nft(statement: string): Promise<void> {
    const [program = '', ...rest] = this.#vpc.inside('nft', statement);
    await run(program, ...rest);
  }

  /** Resolves when everything until now was reported. */
  async #reported(): Promise<void> {
    await until('nft monitor reports changes', async () => {
      const mark = `0x${(++this.#marks).toString(16).padStart(8, '0')}`;
      await this.#nft(`add element inet bench marks { ${mark} }`);
      return this.#lines.some((line) => line.includes(mark));
    });
  }

  /** Elements added to and removed from these sets since the last call. */
  async changed(sets: readonly string[]): Promise<number> {
    await this.#reported();
    const pattern = /^(?:add|delete) element inet sg (\S+) \{(.*)\}/;
    const found = this.#lines.splice(0).flatMap((line) => {
      const [, set = '', elements = ''] = pattern.exec(line) ?? [];
      return sets.includes(set) ? elements.split(',') : [];
    });
    return found.length;
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill();
    await gone;
  }
}

const largeGroups = ['security-group/acme/large', 'security-group/acme/other'];

export class MemberRow {
  readonly #vpc: BenchVpc;
  readonly #members: number;
  #monitor: ElementMonitor | undefined;
  readonly #changed: number[] = [];
  readonly #product: number[][] = [];
  readonly #bare: number[][] = [];

  constructor(dp: Dataplane, { members }: HostScene) {
    this.#vpc = new BenchVpc(dp, 'members', 7701, largeGroups, members);
    this.#members = members;
  }

  async prepare(): Promise<void> {
    await this.#vpc.make();
    this.#monitor = await ElementMonitor.start(this.#vpc);
  }

  async round(): Promise<void> {
    const bare = await runBareLeg({ leg: 'members', runs: stepsInRound, count: this.#members });
    this.#bare.push([...(bare['member_add'] ?? [])]);
    const taken: number[] = [];
    for (let step = 0; step < stepsInRound; step++) {
      await this.#monitor?.changed([]);
      taken.push(await this.#vpc.member(this.#members, true));
      this.#changed.push((await this.#monitor?.changed(largeGroups.map(memberSet))) ?? 0);
      await this.#vpc.member(this.#members, false);
    }
    this.#product.push(taken);
  }

  report(): RowReport {
    // A monitor that sees nothing must not read as a change of nothing.
    if (this.#changed.includes(0)) throw new Error('nft monitor did not report the element of a port that joined');
    return memberGoals(this.#changed, largeGroups.length, this.#product, this.#bare, this.#members);
  }

  async close(): Promise<void> {
    await this.#monitor?.close();
  }
}

/** Two VPCs of one host; in each the next port is wired and removed again, in turn. */
export class WiringRow {
  readonly #sides: readonly {
    readonly count: number;
    readonly vpc: BenchVpc;
    readonly product: number[][];
    readonly bare: number[][];
  }[];
  #wirings = 0;

  constructor(dp: Dataplane, { wired }: HostScene) {
    this.#sides = [few, wired].map((count, index) => {
      const vpc = new BenchVpc(dp, `beside-${index}`, 7_710 + index, ['security-group/acme/all'], count);
      return { count, vpc, product: [], bare: [] };
    });
  }

  async prepare(): Promise<void> {
    for (const { count, vpc } of this.#sides) {
      await vpc.make();
      await forEachOf(count, 64, (index) => vpc.wire(index));
    }
  }

  /** A port that was never there before: where a name comes back, `ip` and `bridge` must be started anew. */
  #next(count: number): number {
    this.#wirings += 1;
    return count + this.#wirings;
  }

  async round(): Promise<void> {
    const taken = new Map(this.#sides.map(({ count }) => [count, [] as number[]]));
    for (const { count, bare } of this.#sides) {
      const samples = await runBareLeg({ leg: 'admit', runs: stepsInRound, count });
      bare.push([...(samples['port_admit'] ?? [])]);
    }
    for (let step = 0; step < stepsInRound; step++)
      for (const { count, vpc } of this.#sides) {
        const port = this.#next(count);
        taken.get(count)?.push(await vpc.wire(port));
        await vpc.remove(port);
      }
    for (const { count, product } of this.#sides) product.push(taken.get(count) ?? []);
  }

  report(): RowReport {
    const [small, large] = this.#sides;
    if (small === undefined || large === undefined) throw new Error('a side is missing');
    return wiringGoals({ few: small, many: large });
  }

  async close(): Promise<void> {}
}
