/**
 * Guests of the scene of gateway-scene-for-tests.ts, with the network stack of a kernel, and programs that run on in
 * namespaces of a test. Not part of the product.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import path from 'node:path';
import type { TapProof, TapSpec } from '@photoncloud/machines/values/wiring';
import { run, until } from '../dataplane-for-tests.ts';
import type { TestHost, TestVpc } from './gateway-scene-for-tests.ts';

/** What this test has started and is to end with it. */
export const started = new Set<ChildProcessWithoutNullStreams>();

export const settings = ['net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1'];

const top = path.resolve(import.meta.dirname, '../../..');

let guests = 0;

/** A namespace with the address of a port, whose eth0 is its tap. */
export class Guest {
  readonly host: TestHost;
  readonly spec: TapSpec;
  readonly namespace: string;
  readonly #relay: ChildProcessWithoutNullStreams;

  private constructor(host: TestHost, spec: TapSpec, namespace: string, relay: ChildProcessWithoutNullStreams) {
    this.host = host;
    this.spec = spec;
    this.namespace = namespace;
    this.#relay = relay;
    started.add(relay);
  }

  static async open(host: TestHost, vpc: TestVpc, spec: TapSpec, { tap }: TapProof): Promise<Guest> {
    const namespace = `guest${(guests += 1)}`;
    await run('ip', 'netns', 'add', namespace);
    const script = path.join(top, 'cluster-tests/harness/tap-relay.pl');
    const enter = [`--net=/run/netns/${host.name}`, `--mount=/run/${host.name}.mnt`];
    // The guest's namespace is not in the host's /run: its descriptor is handed over.
    const open = `exec 9</run/netns/${namespace}; exec nsenter ${enter.join(' ')} nsenter "$@"`;
    const relay = spawn(
      'bash',
      ['-c', open, 'bash', `--net=/run/netns/${vpc.namespace}`, 'perl', script, tap, '/proc/self/fd/9'],
      { stdio: 'pipe' },
    );
    relay.stderr.on('data', (text: Buffer) => console.error(`relay of ${spec.port}: ${text.toString()}`));
    await new Promise((resolve) => relay.stdout.once('data', resolve));
    const guest = new Guest(host, spec, namespace, relay);
    const inside = (...words: string[]) => run('ip', '-n', namespace, ...words);
    await guest.exec('sysctl', '-q', '-w', ...settings);
    await inside('link', 'set', 'lo', 'up');
    await inside('link', 'set', 'eth0', 'address', spec.mac, 'mtu', String(spec.mtu), 'up');
    await inside('addr', 'add', `${spec.address}/${spec.prefixLength}`, 'dev', 'eth0');
    await inside('route', 'add', 'default', 'via', spec.gateway);
    // A bridge notices a port's carrier with a delay.
    await until(`${spec.port} reaches its gateway`, () => guest.pings(spec.gateway));
    return guest;
  }

  get address(): string {
    return this.spec.address;
  }

  exec(...words: string[]): Promise<string> {
    return run('ip', 'netns', 'exec', this.namespace, ...words);
  }

  pings(to: string, ...more: string[]): Promise<boolean> {
    return this.exec('ping', '-n', '-c', '1', '-W', '2', ...more, to).then(
      () => true,
      () => false,
    );
  }

  async close(): Promise<void> {
    const gone = new Promise((resolve) => this.#relay.once('exit', resolve));
    this.#relay.stdin.end();
    await gone;
    await run('ip', 'netns', 'delete', this.namespace);
  }
}

/** A long-lived program in a namespace of this test; its output so far. */
export class Running {
  readonly #child: ChildProcessWithoutNullStreams;
  output = '';

  constructor(namespace: string, ...words: string[]) {
    this.#child = spawn('ip', ['netns', 'exec', namespace, ...words], { stdio: 'pipe' });
    started.add(this.#child);
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream.on('data', (text: Buffer) => (this.output += text.toString()));
  }

  say(text: string): void {
    this.#child.stdin.write(text);
  }

  async end(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    await gone;
  }
}
