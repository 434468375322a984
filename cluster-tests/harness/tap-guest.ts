/**
 * Typed driver of tap-guest.pl: a stand-in for a virtual machine's NIC on an existing tap, quick enough for every test.
 * It is not a guest: nothing boots, no TCP. Called by real-kernel tests; each instance is one process that ends with
 * `close()`, with its stdin, or with this process.
 */
import { patienceMs } from '@photoncloud/runtime/contract/patience-for-tests';
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface TapGuestOptions {
  /** Name of an existing persistent tap that nobody else has open. */
  readonly tap: string;
  readonly mac: string;
  /** Path of the network namespace the tap is in (`/run/netns/x`, `/proc/<pid>/ns/net`); own namespace when absent. */
  readonly namespace?: string;
  /** Mount namespace to enter as well, for a namespace path that exists only there. */
  readonly mountNamespace?: string;
}

export interface TapAddress {
  readonly address?: string;
  readonly prefix?: number;
  readonly gateway?: string;
  /** Whether ARP requests and echoes to the own address are answered; default yes. */
  readonly answer?: boolean;
}

export interface PingOptions {
  readonly count?: number;
  readonly intervalMs?: number;
  readonly timeoutMs?: number;
}

export interface PingReport {
  readonly sent: number;
  readonly received: number;
  readonly roundTripsMs: readonly number[];
  /** Whether ARP gave a MAC for the next hop. */
  readonly resolved: boolean;
}

/** The ACK as the client sees it; absent options are null. */
export interface LeaseReport {
  readonly address: string;
  readonly mask: string;
  readonly router: string | null;
  readonly mtu: number | null;
  readonly leaseSeconds: number | null;
  readonly server: string | null;
  readonly dns: readonly string[];
  readonly hostname: string | null;
  readonly domain: string | null;
  readonly search: readonly string[];
  readonly ntp: readonly string[];
  /** All options as they came, in hex. */
  readonly options: string;
}

/**
 * Code and value in hex of each option, in their order.
 * @param without codes of options that are left out
 */
export function dhcpOptions({ options }: LeaseReport, without: readonly number[] = []): readonly string[] {
  const bytes = Buffer.from(options, 'hex');
  const found: string[] = [];
  for (let at = 0; at < bytes.length && bytes[at] !== 255;) {
    const [code = 0, size = 0] = [bytes[at], bytes[at + 1]];
    const next = code === 0 ? at + 1 : at + 2 + size;
    if (code !== 0 && !without.includes(code)) found.push(`${code} ${bytes.subarray(at + 2, next).toString('hex')}`);
    at = next;
  }
  return found;
}

interface Waiting {
  readonly resolve: (answer: Record<string, unknown>) => void;
  readonly reject: (error: Error) => void;
}

export class TapGuest {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting = new Map<number, Waiting>();
  readonly #frames: Buffer[] = [];
  readonly #options: TapGuestOptions;
  #onFrame: (() => void) | undefined;
  #lastId = 0;
  #complaint = '';

  private constructor(options: TapGuestOptions) {
    this.#options = options;
    const script = join(import.meta.dirname, 'tap-guest.pl');
    const enter = [
      ...(options.mountNamespace === undefined ? [] : [`--mount=${options.mountNamespace}`]),
      ...(options.namespace === undefined ? [] : [`--net=${options.namespace}`]),
    ];
    const argv = ['perl', script, options.tap, options.mac];
    this.#child = enter.length === 0 ? spawn('perl', argv.slice(1)) : spawn('nsenter', [...enter, ...argv]);
    this.#child.stderr.on('data', (chunk: Buffer) => (this.#complaint += chunk.toString()));
    this.#child.stdin.on('error', () => this.#fail());
    this.#child.on('error', (error) => ((this.#complaint += error.message), this.#fail()));
    this.#child.on('close', () => this.#fail());
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#take(line));
  }

  /** @throws Error when the tap cannot be opened (absent, held by somebody, no permission). */
  static async open(options: TapGuestOptions): Promise<TapGuest> {
    const guest = new TapGuest(options);
    await new Promise<Record<string, unknown>>((resolve, reject) => guest.#waiting.set(0, { resolve, reject }));
    return guest;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  #fail(): void {
    const { tap } = this.#options;
    const error = new Error(`tap guest on ${tap} ended: ${this.#complaint.trim() || 'closed'}`);
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
    this.#onFrame?.();
  }

  #take(line: string): void {
    const answer = JSON.parse(line) as Record<string, unknown>;
    if (answer['event'] === 'frame') {
      this.#frames.push(Buffer.from(String(answer['frame']), 'hex'));
      if (this.#frames.length > 4096) this.#frames.shift();
      this.#onFrame?.();
      return;
    }
    const id = answer['event'] === 'open' ? 0 : Number(answer['id']);
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (answer['event'] === 'open' || answer['ok'] === 1) waiting?.resolve(answer);
    else waiting?.reject(new Error(`tap guest on ${this.#options.tap}: ${String(answer['error'])}`));
  }

  #ask(command: Record<string, string | number | boolean>): Promise<Record<string, unknown>> {
    if (this.#child.exitCode !== null) return Promise.reject(new Error(`tap guest on ${this.#options.tap} has ended`));
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.stdin.write(`${JSON.stringify({ id, ...command })}\n`);
    });
  }

  async configure(address: TapAddress): Promise<void> {
    await this.#ask({ do: 'configure', ...address });
  }

  /** DISCOVER to ACK. `adopt` (default) takes the address over. @throws Error `nak`, `no offer in time`, ... */
  async dhcp(options: { hostname?: string; timeoutMs?: number; adopt?: boolean } = {}): Promise<LeaseReport> {
    return (await this.#ask({ do: 'dhcp', ...options })) as unknown as LeaseReport;
  }

  /** A REQUEST for the address that it has, to its server alone. @throws Error as `dhcp` */
  async renew(timeoutMs = 5_000): Promise<LeaseReport> {
    return (await this.#ask({ do: 'dhcp', renew: true, timeoutMs })) as unknown as LeaseReport;
  }

  /** Ends when every echo was answered or the time is up; loss is a number, not an error. */
  async ping(to: string, options: PingOptions = {}): Promise<PingReport> {
    const report = await this.#ask({ do: 'ping', to, ...options });
    return { ...(report as unknown as PingReport), resolved: report['resolved'] === 1 };
  }

  /** @returns the MAC that answered for the address. @throws Error `no answer in time`. */
  async arp(to: string, timeoutMs = 2000): Promise<string> {
    return String((await this.#ask({ do: 'arp', to, timeoutMs }))['mac']);
  }

  /** Sends one Ethernet frame as it is, without checksum work. */
  async send(frame: Buffer): Promise<void> {
    await this.#ask({ do: 'send', frame: frame.toString('hex') });
  }

  /** Sends the frames in their order, all of them `times` times, as quickly as it can. @returns how many it sent */
  async flood(frames: readonly Buffer[], times: number): Promise<number> {
    const hex = frames.map((frame) => frame.toString('hex')).join();
    return Number((await this.#ask({ do: 'flood', frames: hex, times }))['sent']);
  }

  /** From now on every received frame is kept (the last 4096). */
  async sniff(on = true): Promise<void> {
    await this.#ask({ do: 'configure', sniff: on });
  }

  /** The frames kept so far, oldest first; they are forgotten. */
  takeFrames(): Buffer[] {
    return this.#frames.splice(0);
  }

  /** The first frame that matches, of those kept and those to come. @throws Error after `timeoutMs`. */
  async waitFrame(matches: (frame: Buffer) => boolean, timeoutMs = patienceMs()): Promise<Buffer> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = this.#frames.findIndex(matches);
      if (found >= 0) return this.#frames.splice(found, 1)[0] as Buffer;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) throw new Error(`no matching frame on ${this.#options.tap} within ${timeoutMs} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#onFrame = () => (clearTimeout(timer), resolve());
      });
    }
  }

  /** Ends the process and waits for it; the tap stays. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = new Promise<void>((resolve) => this.#child.once('close', () => resolve()));
    this.#child.stdin.end();
    await closed;
  }
}
