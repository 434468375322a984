/**
 * Typed driver of tap-stack.pl: a stand-in for a virtual machine whose NIC has a kernel's TCP, quick enough for every
 * test. A program runs in it, and others can be run beside. Called by real-kernel tests; ends with `close()` or with
 * this process.
 */
import { execFile, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

export interface StackGuestOptions {
  /** Name of an existing persistent tap that nobody else has open. */
  readonly tap: string;
  readonly mac: string;
  readonly address: string;
  readonly prefix: number;
  readonly gateway: string;
  readonly mtu: number;
  /** Path of the network namespace the tap is in. */
  readonly namespace: string;
}

export class StackGuest {
  readonly #child: ChildProcessWithoutNullStreams;
  #complaint = '';

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    child.stdin.on('error', () => {});
    child.stderr.on('data', (chunk: Buffer) => (this.#complaint += chunk.toString()));
  }

  /** @param program says a line on its standard output once it runs @throws Error with what it said instead */
  static async open(options: StackGuestOptions, program: readonly string[]): Promise<StackGuest> {
    const { tap, mac, address, prefix, gateway, mtu, namespace } = options;
    const script = join(import.meta.dirname, 'tap-stack.pl');
    const stack = ['perl', script, tap, mac, `${address}/${prefix}`, gateway, String(mtu)];
    const child = spawn('nsenter', [`--net=${namespace}`, ...stack, ...program]);
    const guest = new StackGuest(child);
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdout }).once('line', () => resolve());
      child.once('exit', () => reject(new Error(`the guest on ${tap} has ended: ${guest.#complaint}`)));
    });
    return guest;
  }

  /** A line for the standard input of its program. */
  tell(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  /** Arguments that run a program beside the guest's. */
  beside(argv: readonly string[]): readonly [string, string[]] {
    return ['nsenter', [`--net=/proc/${this.#child.pid}/ns/net`, ...argv]];
  }

  /** Rejects with the standard error. */
  async run(...argv: readonly string[]): Promise<string> {
    return (await promisify(execFile)(...this.beside(argv), { encoding: 'utf8' })).stdout;
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }
}
