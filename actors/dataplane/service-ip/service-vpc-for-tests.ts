/**
 * A VPC with service IPs for tests on the real kernel: ports whose guests are network namespaces with a kernel's tcp
 * and udp, on this host or on a second one. Not part of the product.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import * as assert from 'uvu/assert';
import { patienceMs } from '@photoncloud/runtime/contract/patience-for-tests';
import type { ServiceIpElement } from '@photoncloud/machines/values/service-elements';
import type { Elements, TapSpec } from '@photoncloud/machines/values/wiring';
import type { Dataplane } from '../contract/dataplane-contract.ts';
import { nextCall, run, segmentAsk, tapSpec, until, type TestSegment } from '../dataplane-for-tests.ts';
import { KernelNames } from '../kernel-names.ts';
import { aliasOf } from '../owner-alias.ts';
import { remotePrefix, type RemoteHost } from '../remote-host-for-tests.ts';

const program = path.resolve(import.meta.dirname, '../../../cluster-tests/harness/socket-guest-main.ts');
export const serviceId = (name: string, tenant = 'acme'): string => `service-ip/${tenant}/${name}`;
export const serviceOf = (more: Partial<ServiceIpElement> = {}): ServiceIpElement => ({
  address: '10.77.1.200',
  ports: [{ protocol: 'tcp', port: 80, targetPort: 8080 }],
  backends: [],
  affinity: 'none',
  ...more,
});

export interface Opened {
  readonly connection: number;
  /** Of the server that greeted. */
  readonly name: string;
  /** Address of the client as the server sees it. */
  readonly source: string;
  readonly error?: string;
}

interface AskOptions {
  /** Source port; 0: any. */
  readonly from?: number;
  /** Source address; '': that of the route. */
  readonly source?: string;
  /** After it, silence. */
  readonly timeoutMs?: number;
}

/** A network namespace with a process that serves and asks. */
export class SocketGuest {
  readonly network: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers = new Map<number, (answer: Record<string, unknown>) => void>();
  #lastId = 0;

  constructor(network: string) {
    this.network = network;
    this.#child = spawn('nsenter', [`--net=/run/netns/${network}`, process.execPath, program]);
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const answer = JSON.parse(line) as Record<string, unknown>;
      this.#answers.get(Number(answer['id']))?.(answer);
    });
    this.#child.stderr.on('data', (text: Buffer) => console.error(`guest ${network}: ${text.toString()}`));
  }

  async #ask(command: Record<string, string | number>): Promise<Record<string, unknown>> {
    const id = ++this.#lastId;
    const answer = new Promise<Record<string, unknown>>((resolve) => this.#answers.set(id, resolve));
    this.#child.stdin.write(`${JSON.stringify({ from: 0, source: '', timeoutMs: patienceMs(), ...command, id })}\n`);
    const found = await answer;
    if (found['failed'] !== undefined) throw new Error(`guest ${this.network}: ${JSON.stringify(found)}`);
    return found;
  }

  async serve(name: string, port: number, protocol: 'tcp' | 'udp' = 'tcp'): Promise<void> {
    await this.#ask({ do: 'serve', name, port, protocol });
  }

  async open(to: string, port: number, more: AskOptions = {}): Promise<Opened> {
    return (await this.#ask({ do: 'open', to, port, ...more })) as unknown as Opened;
  }

  /** Opens and closes. @returns the server's name, or the error */
  async reach(to: string, port: number, more: AskOptions = {}): Promise<string> {
    const opened = await this.open(to, port, more);
    if (opened.error !== undefined) return opened.error;
    await this.end(opened);
    return opened.name;
  }

  /** Sends bytes and has them come back. */
  async stream({ connection }: Opened, bytes = 10_000, timeoutMs = patienceMs()) {
    const found = await this.#ask({ do: 'stream', connection, bytes, timeoutMs });
    return found as { readonly echoed: number; readonly sound: boolean; readonly state: string };
  }

  async end({ connection }: Opened): Promise<void> {
    await this.#ask({ do: 'end', connection });
  }

  async udp(to: string, port: number, more: AskOptions = {}) {
    const found = await this.#ask({ do: 'udp', to, port, text: 'hello', ...more });
    return found as { readonly name?: string; readonly source?: string; readonly error?: string };
  }

  inside(...words: string[]): Promise<string> {
    return run('nsenter', `--net=/run/netns/${this.network}`, ...words);
  }

  async close(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin.end();
    await gone;
    await run('ip', 'netns', 'delete', this.network);
  }
}

let networks = 0;

/** A namespace with one interface, whose other end has this name in the namespace given. */
async function connected(spec: TapSpec, tap: string, at: string | null): Promise<SocketGuest> {
  const network = `guest${(networks += 1)}`;
  await run('ip', 'netns', 'add', network);
  const peer = ['type', 'veth', 'peer', 'name', 'eth0', 'address', spec.mac, 'netns', network];
  const host = at === null ? [] : ['-n', at];
  await run('ip', ...host, 'link', 'add', tap, 'mtu', String(spec.mtu), ...peer);
  await run('ip', ...host, 'link', 'set', tap, 'alias', aliasOf('test', spec.owner));
  const inside = ['-n', network];
  await run('ip', ...inside, 'link', 'set', 'lo', 'up');
  await run('ip', ...inside, 'link', 'set', 'eth0', 'mtu', String(spec.mtu), 'up');
  await run('ip', ...inside, 'addr', 'add', `${spec.address}/${spec.prefixLength}`, 'dev', 'eth0');
  await run('ip', ...inside, 'route', 'add', 'default', 'via', spec.gateway);
  return new SocketGuest(network);
}

type Options = Partial<TestSegment> & { readonly services?: Readonly<Record<string, ServiceIpElement>> };

/** What `realizeSegment` takes, with service IPs. */
export function serviceAsk({ services = {}, ...more }: Options = {}) {
  const { segment, sections } = segmentAsk(more);
  const generation = more.generation ?? 1;
  return { segment, sections: { ...sections, 'service-ips': { generation, elements: services as Elements } } };
}

/** A VPC on one host or on two; a port is on the second when it is wired there. */
export class ServiceVpc {
  readonly dp: Dataplane;
  readonly remote: RemoteHost | null;
  readonly options: Options;
  readonly namespace: string;
  readonly guests: SocketGuest[] = [];
  #generation = 1;

  private constructor(dp: Dataplane, remote: RemoteHost | null, options: Options, namespace: string) {
    this.dp = dp;
    this.remote = remote;
    this.options = options;
    this.namespace = namespace;
  }

  static async make(dp: Dataplane, options: Options = {}, remote: RemoteHost | null = null): Promise<ServiceVpc> {
    const { failed, proof } = await dp.realizeSegment(serviceAsk(options), nextCall());
    assert.equal(failed, {});
    return new ServiceVpc(dp, remote, options, String(proof['namespace']));
  }

  inside(...words: string[]): Promise<string> {
    return run('nsenter', `--net=/run/netns/${this.namespace}`, ...words);
  }

  /** Wires a port whose guest is a namespace. */
  async wire(index: number, more: Partial<TapSpec> = {}): Promise<SocketGuest> {
    const spec = tapSpec(index, { vpc: this.options.vpc ?? 'vpc/acme/main', ...more });
    const guest = await connected(spec, new KernelNames('tst').tapOf(spec.owner), null);
    await this.dp.wireTap(spec, nextCall());
    this.guests.push(guest);
    await this.#forwards(guest, spec);
    return guest;
  }

  /** Wires a port on the second host. */
  async wireRemote(index: number, more: Partial<TapSpec> = {}): Promise<SocketGuest> {
    const spec = tapSpec(index, {
      owner: { ...tapSpec(index).owner, actor: `binding/acme/web-${index}.eth0@w2` },
      ...more,
    });
    assert.ok(this.remote);
    const guest = await connected(spec, new KernelNames(remotePrefix).tapOf(spec.owner), this.remote.network);
    await this.remote.call('wireTap', spec);
    this.guests.push(guest);
    await this.#forwards(guest, spec);
    return guest;
  }

  async #forwards(guest: SocketGuest, { gateway }: TapSpec): Promise<void> {
    await until(`${guest.network} reaches its gateway`, () =>
      guest.inside('ping', '-c1', '-W1', gateway).then(
        () => true,
        () => false,
      ),
    );
  }

  /** An increment of section `service-ips`, on both hosts; fails when the section does. */
  async change(put: Readonly<Record<string, ServiceIpElement>>, removed: Elements = {}): Promise<void> {
    await this.changeSection('service-ips', put, removed);
  }

  async changeSection(section: string, put: Elements, removed: Elements = {}): Promise<void> {
    const to = (this.#generation += 1);
    const ask = { segment: serviceAsk(this.options).segment, changes: [{ section, to, put, removed }] };
    assert.equal(await this.dp.changeSegment(ask, nextCall()), { proven: { [section]: to }, failed: {} });
    if (this.remote === null) return;
    assert.equal((await this.remote.call('changeSegment', ask)).failed, {});
  }

  async drift(services: Readonly<Record<string, ServiceIpElement>>): Promise<string> {
    const { segment, sections } = serviceAsk({ ...this.options, services });
    const asked = { segment, sections: { 'service-ips': sections['service-ips'] } };
    return JSON.stringify((await this.dp.readSegment(asked, nextCall())).drift);
  }

  async close(): Promise<void> {
    await Promise.all(this.guests.map((guest) => guest.close()));
  }
}
