/**
 * Access to one network namespace: changes and reads through long-lived `ip`, `bridge` and `nft` coprocesses.
 * The noun folders get it from NamespaceLinks; the link of the host's own namespace has the name null.
 * Promise: the first failure of a request is thrown, with the command that failed.
 */
import { readFile } from 'node:fs/promises';
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
  /** Of a device that stands on another one, or is the end of a pair. */
  link_index: z.number().optional(),
  /** The namespace of that other one, by the number that it has in this namespace; absent: it is in this one. */
  link_netnsid: z.number().optional(),
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
  /** `unicast`, `unreachable`, `blackhole`, `local` ... */
  type: z.string().optional(),
  dst: z.string(),
  dev: z.string().optional(),
  gateway: z.string().optional(),
  protocol: z.string().optional(),
  prefsrc: z.string().optional(),
  metric: z.number().optional(),
});
const ruleSchema = z.object({
  priority: z.number(),
  dst: z.string().optional(),
  dstlen: z.number().optional(),
  fwmark: z.string().optional(),
  table: z.string(),
});
const netconfSchema = z.object({ rp_filter: z.string() });
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
export type KernelRule = z.infer<typeof ruleSchema>;
export type KernelNeighbour = z.infer<typeof neighbourSchema>;
export type KernelFdbEntry = z.infer<typeof fdbSchema>;

const deviceName = /^[a-z][a-z0-9]{2,14}$/;
/** The device that a command makes: the tools ask for no index of it. */
const making = /^(?:link|tuntap) add (?:dev |name )?(\S+)/;
/** The kernel has it already, has none, or has it in use. */
const refusal = /No such file or directory|does not exist|File exists|Device or resource busy/i;
const absent = /does not exist|Cannot find device|No such device/i;

function namesIn(line: Command): readonly string[] {
  const made = making.exec(line)?.[1];
  return line.split(' ').filter((word) => deviceName.test(word) && word !== made);
}

export class NamespaceLink {
  /** Null for the host's own namespace. */
  readonly name: string | null;
  readonly #ip: Coprocess;
  readonly #bridge: Coprocess;
  readonly #nft: Coprocess;
  readonly #nftCheck: Coprocess;
  /** Names of devices that were there when a tool was asked for them: the tools may have cached their indexes. */
  readonly #knownNames = new Set<string>();
  /** Names in requests that are not answered yet -> in how many. */
  readonly #askedNames = new Map<string, number>();

  constructor(name: string | null) {
    this.name = name;
    const where = name ?? 'the host';
    const inside = name === null ? [] : ['-n', name];
    const enter = name === null ? [] : ['nsenter', `--net=/run/netns/${name}`];
    this.#ip = new Coprocess(`ip in ${where}`, ['ip', ...inside, '-j', '-d', '-force', '-batch', '-'], 'batch');
    this.#bridge = new Coprocess(`bridge in ${where}`, ['bridge', ...inside, '-j', '-force', '-batch', '-'], 'batch');
    // -n: numbers, not names from files of the host. What is read is compared with what was written.
    this.#nft = new Coprocess(`nft in ${where}`, [...enter, 'nft', '-n', '-i'], 'nft');
    this.#nftCheck = new Coprocess(`nft -c in ${where}`, [...enter, 'nft', '-c', '-n', '-i'], 'nft');
  }

  /** Of a device that is not there a tool caches nothing. */
  async #ask(tool: Coprocess, commands: readonly Command[]): Promise<CoprocessAnswer> {
    const names = commands.map(namesIn);
    const count = (name: string, by: number): void => {
      const now = (this.#askedNames.get(name) ?? 0) + by;
      if (now === 0) this.#askedNames.delete(name);
      else this.#askedNames.set(name, now);
    };
    for (const name of names.flat()) count(name, 1);
    try {
      const answer = await tool.run(commands);
      const failed = new Set(answer.failures.filter(({ text }) => absent.test(text)).map(({ index }) => index));
      for (const name of names.filter((_, index) => !failed.has(index)).flat()) this.#knownNames.add(name);
      return answer;
    } catch (error) {
      for (const name of names.flat()) this.#knownNames.add(name);
      throw error;
    } finally {
      for (const name of names.flat()) count(name, -1);
    }
  }

  /** Starts the tools side by side, for a namespace that will need all of them. */
  start(): void {
    for (const tool of [this.#ip, this.#nft, this.#bridge]) tool.start();
  }

  /**
   * Must be called when a device has just appeared. If there was one of its name before, the tools have cached the
   * interface index of that one and would change it or find nothing; they are then started anew.
   */
  appeared(device: string): void {
    if (!this.#knownNames.has(device) && !this.#askedNames.has(device)) return;
    this.#knownNames.clear();
    this.#ip.renew();
    this.#bridge.renew();
  }

  /** Makes changes. All commands are tried; the first failure is thrown. @param what the action, for the error */
  async ip(what: string, commands: readonly Command[], rules: readonly ErrorRule[] = []): Promise<void> {
    if (commands.length > 0) throwFirst(what, commands, await this.#ask(this.#ip, commands), rules);
  }

  async bridge(what: string, commands: readonly Command[], rules: readonly ErrorRule[] = []): Promise<void> {
    if (commands.length > 0) throwFirst(what, commands, await this.#ask(this.#bridge, commands), rules);
  }

  /** Runs statements as one transaction: all or none. The caller builds them from validated values only. */
  async nft(what: string, statements: readonly string[], rules: readonly ErrorRule[] = []): Promise<void> {
    if (statements.length === 0) return;
    const [failure] = (await this.#nft.run([statements.join('; ')])).failures;
    if (failure !== undefined) throw kernelError(what, `nft: ${failure.text}`, rules);
  }

  /**
   * Of each statement whether the kernel would refuse it, as a part of one transaction; it carries out none of them.
   * What it takes back takes a grace period of RCU, about 10 ms, whatever the sizes of the sets are.
   */
  async nftRefused(statements: readonly string[]): Promise<readonly boolean[]> {
    const { failures } = await this.#nftCheck.run([statements.join('; ')]);
    const refused = statements.map(() => false);
    for (const { text, column } of failures) {
      const at = column === undefined ? -1 : statementAt(statements, column);
      if (at === -1 || !refusal.test(text))
        throw kernelError(`checking ${statements.join('; ')} in ${this.name ?? 'the host'}`, text);
      refused[at] = true;
    }
    return refused;
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
    const answer = await this.#ask(tool, commands).catch((error: unknown) => {
      // `ip` ends when it is asked for a device that it knew and that is gone. Nothing was changed: a new one is asked.
      if (error instanceof PhotonError && error.record.code === 'coprocess_died') return this.#ask(tool, commands);
      throw error;
    });
    const failed = new Map(answer.failures.map(({ index, text }) => [index, text]));
    const printed = [...answer.printed];
    return commands.map((line, index) => {
      const text = failed.get(index);
      if (text === undefined) return z.array(z.unknown()).parse(JSON.parse(printed.shift() ?? '[]'));
      if (absent.test(text)) return null;
      throw kernelError(`ip ${line} in ${this.name ?? 'the host'}`, text);
    });
  }

  async link(name: string): Promise<KernelLink | null> {
    const [found] = await this.#read([command`link show dev ${name}`], this.#ip);
    return found?.[0] === undefined ? null : linkSchema.parse(found[0]);
  }

  links(): Promise<KernelLink[]> {
    return this.#listed(command`link show`);
  }

  /** Those of one kind, such as `veth`; the kernel leaves out the others. */
  linksOf(kind: 'veth'): Promise<KernelLink[]> {
    return this.#listed(command`link show type ${kind}`);
  }

  async #listed(line: Command): Promise<KernelLink[]> {
    const [found] = await this.#read([line], this.#ip);
    // An interface that is deleted during the dump leaves an empty object in the output.
    const links = (found ?? []).filter((one) => linkSchema.safeParse(one).success).map((one) => linkSchema.parse(one));
    // `ip` keeps the interface index of every device that it lists.
    for (const { ifname } of links) this.#knownNames.add(ifname);
    return links;
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

  /** Destinations that are refused, of the main table. */
  async unreachableRoutes(): Promise<KernelRoute[]> {
    const [found] = await this.#read([command`route show type unreachable`], this.#ip);
    return (found ?? []).map((one) => routeSchema.parse(one));
  }

  /** Routes to the namespace itself, those of broadcast among them. */
  async localRoutes(): Promise<KernelRoute[]> {
    const [found] = await this.#read([command`route show table local`], this.#ip);
    return (found ?? []).map((one) => routeSchema.parse(one));
  }

  /** Routes that were made under this number, whichever way they lead. */
  async routesBy(protocol: number): Promise<KernelRoute[]> {
    const [found] = await this.#read([command`route show proto ${protocol}`], this.#ip);
    return (found ?? []).map((one) => routeSchema.parse(one));
  }

  async routesIn(table: number | 'local', device: string): Promise<KernelRoute[]> {
    const [found] = await this.#read([command`route show table ${table} dev ${device}`], this.#ip);
    return (found ?? []).map((one) => routeSchema.parse(one));
  }

  async rules(): Promise<KernelRule[]> {
    const [found] = await this.#read([command`rule show`], this.#ip);
    return (found ?? []).map((one) => ruleSchema.parse(one));
  }

  /** Whether packets that come in by the device must come from where answers would go. */
  async filtersReverse(device: string): Promise<boolean> {
    const [found] = await this.#read([command`netconf show dev ${device}`], this.#ip);
    return (found ?? []).some((one) => netconfSchema.safeParse(one).data?.rp_filter === 'strict');
  }

  /** The namespace's own addresses, those of broadcast among them. */
  async localAddresses(): Promise<readonly string[]> {
    return (await this.localRoutes()).map(({ dst }) => dst);
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

  /**
   * How many flows conntrack has of the namespace; undefined when the kernel does not say. To list them it walks the
   * table of all namespaces, a quarter of a million buckets, which takes tens of ms also where there is none.
   */
  async trackedFlows(): Promise<number | undefined> {
    // Once it has answered, the tool is in the namespace.
    await this.link('lo');
    const listing = await readFile(`/proc/${this.#ip.pid}/net/stat/nf_conntrack`, 'utf8').catch(() => '');
    const [, first = ''] = listing.split('\n');
    const entries = /^[0-9a-f]{8,}/.exec(first)?.[0];
    return entries === undefined ? undefined : parseInt(entries, 16);
  }

  async close(): Promise<void> {
    await Promise.all([this.#ip, this.#bridge, this.#nft, this.#nftCheck].map((tool) => tool.close()));
  }
}

/** The statement in which a column of the whole line lies, joined by `; `. */
function statementAt(statements: readonly string[], column: number): number {
  let end = 0;
  return statements.findIndex((statement) => {
    end += statement.length + 2;
    return column < end;
  });
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
