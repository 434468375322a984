/**
 * Access to one network namespace: changes and reads through long-lived `ip`, `bridge` and `nft` coprocesses.
 * The noun folders get it from NamespaceLinks; the link of the host's own namespace has the name null.
 * Promise: the first failure of a request is thrown, with the command that failed.
 */
import { z } from 'zod';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { Coprocess } from './coprocess.ts';
import type { CoprocessAnswer } from './coprocess.ts';
import { command } from './kernel-command.ts';
import type { Command } from './kernel-command.ts';
import { kernelError } from './kernel-errors.ts';
import type { ErrorRule } from './kernel-errors.ts';

const linkSchema = z.object({
  ifindex: z.number(),
  ifname: z.string(),
  flags: z.array(z.string()),
  mtu: z.number(),
  address: z.string().optional(),
  master: z.string().optional(),
  ifalias: z.string().optional(),
  linkinfo: z
    .object({
      info_kind: z.string().optional(),
      info_slave_kind: z.string().optional(),
      info_data: z.record(z.string(), z.unknown()).optional(),
      info_slave_data: z.record(z.string(), z.unknown()).optional(),
    })
    .optional(),
});
const routeSchema = z.object({
  dst: z.string(),
  dev: z.string().optional(),
  gateway: z.string().optional(),
  protocol: z.string().optional(),
  prefsrc: z.string().optional(),
});
const neighbourSchema = z.object({
  dst: z.string(),
  dev: z.string().optional(),
  lladdr: z.string().optional(),
  state: z.array(z.string()).optional(),
});
const fdbSchema = z.object({
  mac: z.string(),
  dst: z.string().optional(),
  ifname: z.string().optional(),
  state: z.string().optional(),
  flags: z.array(z.string()).optional(),
});

export type KernelLink = z.infer<typeof linkSchema>;
export type KernelRoute = z.infer<typeof routeSchema>;
export type KernelNeighbour = z.infer<typeof neighbourSchema>;
export type KernelFdbEntry = z.infer<typeof fdbSchema>;

const deviceName = /^[a-z][a-z0-9]{2,14}$/;

export class NamespaceLink {
  /** Null for the host's own namespace. */
  readonly name: string | null;
  readonly #ip: Coprocess;
  readonly #bridge: Coprocess;
  readonly #nft: Coprocess;
  /** Device names that appeared in a request: the tools may have cached their interface indexes. */
  readonly #usedNames = new Set<string>();

  constructor(name: string | null) {
    this.name = name;
    const where = name ?? 'the host';
    const inside = name === null ? [] : ['-n', name];
    const enter = name === null ? [] : ['nsenter', `--net=/run/netns/${name}`];
    this.#ip = new Coprocess(`ip in ${where}`, ['ip', ...inside, '-j', '-d', '-force', '-batch', '-'], 'batch');
    this.#bridge = new Coprocess(`bridge in ${where}`, ['bridge', ...inside, '-j', '-force', '-batch', '-'], 'batch');
    // -n: numbers, not names from files of the host. What is read is compared with what was written.
    this.#nft = new Coprocess(`nft in ${where}`, [...enter, 'nft', '-n', '-i'], 'nft');
  }

  #linesOf(commands: readonly Command[]): readonly Command[] {
    for (const word of commands.join(' ').split(' ')) if (deviceName.test(word)) this.#usedNames.add(word);
    return commands;
  }

  /**
   * Must be called when a device has just appeared. If its name was used before, the tools have cached the interface
   * index of the old device and would change that one or find nothing; they are then started anew.
   */
  appeared(device: string): void {
    if (!this.#usedNames.has(device)) return;
    this.#usedNames.clear();
    this.#ip.renew();
    this.#bridge.renew();
  }

  /** Makes changes. All commands are tried; the first failure is thrown. @param what the action, for the error */
  async ip(what: string, commands: readonly Command[], rules: readonly ErrorRule[] = []): Promise<void> {
    if (commands.length > 0) throwFirst(what, commands, await this.#ip.run(this.#linesOf(commands)), rules);
  }

  async bridge(what: string, commands: readonly Command[], rules: readonly ErrorRule[] = []): Promise<void> {
    if (commands.length > 0) throwFirst(what, commands, await this.#bridge.run(this.#linesOf(commands)), rules);
  }

  /** Runs statements as one transaction: all or none. The caller builds them from validated values only. */
  async nft(what: string, statements: readonly string[], rules: readonly ErrorRule[] = []): Promise<void> {
    if (statements.length === 0) return;
    const [failure] = (await this.#nft.run([statements.join('; ')])).failures;
    if (failure !== undefined) throw kernelError(what, `nft: ${failure.text}`, rules);
  }

  /** The output of a listing statement, or null when its object does not exist. */
  async nftRead(statement: string): Promise<string | null> {
    const { printed, failures } = await this.#nft.run([statement]);
    const [failure] = failures;
    if (failure === undefined) return printed.join('\n');
    if (/No such file or directory|does not exist/i.test(failure.text)) return null;
    throw kernelError(`reading ${statement} in ${this.name ?? 'the host'}`, failure.text);
  }

  /** Several reads in one round trip; null for each read whose object does not exist. */
  async #read(commands: readonly Command[], tool: Coprocess): Promise<(unknown[] | null)[]> {
    const answer = await tool.run(this.#linesOf(commands));
    const failed = new Map(answer.failures.map(({ index, text }) => [index, text]));
    const printed = [...answer.printed];
    return commands.map((line, index) => {
      const text = failed.get(index);
      if (text === undefined) return z.array(z.unknown()).parse(JSON.parse(printed.shift() ?? '[]'));
      if (/does not exist|Cannot find device|No such device/i.test(text)) return null;
      throw kernelError(`ip ${line} in ${this.name ?? 'the host'}`, text);
    });
  }

  async link(name: string): Promise<KernelLink | null> {
    const [found] = await this.#read([command`link show dev ${name}`], this.#ip);
    return found?.[0] === undefined ? null : linkSchema.parse(found[0]);
  }

  async links(): Promise<KernelLink[]> {
    const [found] = await this.#read([command`link show`], this.#ip);
    // An interface that is deleted during the dump leaves an empty object in the output.
    return (found ?? []).filter((one) => linkSchema.safeParse(one).success).map((one) => linkSchema.parse(one));
  }

  /**
   * The device's own addresses with prefix lengths, derived from its connected routes: in one batch, `addr show` after
   * `link show` prints nothing.
   */
  async addresses(device: string): Promise<readonly string[]> {
    const connected = (await this.routesOf(device)).filter(
      (one) => one.protocol === 'kernel' && one.prefsrc !== undefined,
    );
    return connected.map((one) => `${one.prefsrc}/${one.dst.split('/')[1] ?? '32'}`);
  }

  async routesOf(device: string): Promise<KernelRoute[]> {
    const [found] = await this.#read([command`route show dev ${device}`], this.#ip);
    return (found ?? []).map((one) => routeSchema.parse(one));
  }

  async routesTo(destination: string): Promise<KernelRoute[]> {
    const [found] = await this.#read([command`route show ${destination}`], this.#ip);
    return (found ?? []).map((one) => routeSchema.parse(one));
  }

  /** The namespace's own addresses, those of broadcast among them. */
  async localAddresses(): Promise<readonly string[]> {
    const [found] = await this.#read([command`route show table local`], this.#ip);
    return (found ?? []).map((one) => routeSchema.parse(one).dst);
  }

  async neighboursOf(device: string): Promise<KernelNeighbour[]> {
    const [found] = await this.#read([command`neigh show dev ${device}`], this.#ip);
    return (found ?? []).map((one) => neighbourSchema.parse(one));
  }

  /** Link, /32 route and neighbour of one port in one round trip. */
  async portFacts(
    tap: string,
    bridge: string,
    address: string,
  ): Promise<{
    link: KernelLink | null;
    route: KernelRoute | null;
    neighbour: KernelNeighbour | null;
  }> {
    const [links, routes, neighbours] = await this.#read(
      [command`link show dev ${tap}`, command`route show ${address}/32`, command`neigh show ${address} dev ${bridge}`],
      this.#ip,
    );
    return {
      link: links?.[0] === undefined ? null : linkSchema.parse(links[0]),
      route: routes?.[0] === undefined ? null : routeSchema.parse(routes[0]),
      neighbour: neighbours?.[0] === undefined ? null : neighbourSchema.parse(neighbours[0]),
    };
  }

  async fdbOf(device: string): Promise<KernelFdbEntry[]> {
    const [found] = await this.#read([command`fdb show dev ${device}`], this.#bridge);
    return (found ?? []).map((one) => fdbSchema.parse(one));
  }

  async close(): Promise<void> {
    await Promise.all([this.#ip.close(), this.#bridge.close(), this.#nft.close()]);
  }
}

function throwFirst(
  what: string,
  commands: readonly Command[],
  answer: CoprocessAnswer,
  rules: readonly ErrorRule[],
): void {
  const [failure] = answer.failures;
  if (failure === undefined) return;
  throw kernelError(what, `${commands[failure.index]}: ${failure.text}`, rules);
}

/** The links of this host's namespaces. A link must be closed before its namespace is deleted: it keeps it alive. */
export class NamespaceLinks {
  readonly #links = new Map<string, NamespaceLink>();
  readonly host = new NamespaceLink(null);
  #closed = false;

  of(name: string): NamespaceLink {
    if (this.#closed)
      throw new PhotonError('fault', 'dataplane_closed', 'This dataplane was closed; the next worker process goes on.');
    const known = this.#links.get(name);
    if (known !== undefined) return known;
    const link = new NamespaceLink(name);
    this.#links.set(name, link);
    return link;
  }

  async forget(name: string): Promise<void> {
    const link = this.#links.get(name);
    this.#links.delete(name);
    await link?.close();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.host.close(), ...[...this.#links.keys()].map((name) => this.forget(name))]);
  }
}
