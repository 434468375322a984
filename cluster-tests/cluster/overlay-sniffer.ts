/**
 * Driver of overlay-sniffer.pl: collects every frame with a mark, on every interface of one namespace of a node. A
 * frame that the bridge's rules drop is seen once, coming in at its tap, and on no other interface; this is how tests
 * show that nothing gets out. A FrameCounter does the same for floods, and only counts. Used by the tests of isolation
 * and flood; each instance is one process that ends with `close()`, with its stdin, or with this process.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { until } from './process-identity.ts';

export interface SeenFrame {
  /** Interface, as the namespace calls it. */
  readonly link: string;
  readonly way: 'in' | 'out';
  readonly frame: Buffer;
}

const script = join(import.meta.dirname, 'overlay-sniffer.pl');

export class FrameSniffer {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #seen: SeenFrame[] = [];
  #isOpen = false;
  #errors = '';

  private constructor(namespace: string, mark: Buffer) {
    this.#child = spawn('nsenter', [`--net=${namespace}`, 'perl', script, mark.toString('hex')]);
    this.#child.stderr.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
    this.#child.on('error', (error) => (this.#errors += error.message));
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#take(line));
  }

  /** @param namespace path of a network namespace @throws Error with the sniffer's stderr */
  static async open(namespace: string, mark: Buffer): Promise<FrameSniffer> {
    const sniffer = new FrameSniffer(namespace, mark);
    await until(`a sniffer listens in ${namespace}`, () => {
      if (sniffer.#child.exitCode !== null) throw new Error(`the sniffer in ${namespace} ended: ${sniffer.#errors}`);
      return sniffer.#isOpen;
    });
    return sniffer;
  }

  #take(line: string): void {
    const said = JSON.parse(line) as { event?: string; link: string; way: 'in' | 'out'; frame: string };
    if (said.event === 'open') this.#isOpen = true;
    else this.#seen.push({ link: said.link, way: said.way, frame: Buffer.from(said.frame, 'hex') });
  }

  /** All frames seen so far that match. */
  seen(matches: (seen: SeenFrame) => boolean = () => true): SeenFrame[] {
    return this.#seen.filter(matches);
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, 'close');
    this.#child.stdin.end();
    await closed;
  }
}

export interface FrameCount {
  readonly link: string;
  readonly way: 'in' | 'out';
  /** Of a VXLAN packet; 0 for every other. */
  readonly vni: number;
  /** What stands behind the mark. */
  readonly label: string;
  readonly count: number;
}

export class FrameCounter {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;
  #errors = '';

  private constructor(namespace: string, mark: Buffer, labelBytes: number) {
    const argv = [`--net=${namespace}`, 'perl', script, mark.toString('hex'), String(labelBytes)];
    this.#child = spawn('nsenter', argv);
    this.#child.stderr.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
    this.#child.stdin.on('error', (error) => (this.#errors += error.message));
    this.#child.on('error', (error) => (this.#errors += error.message));
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /**
   * @param namespace path of a network namespace
   * @param labelBytes how many bytes behind the mark tell frames apart; without blanks and quotes
   * @throws Error with the counter's stderr
   */
  static async open(namespace: string, mark: Buffer, labelBytes: number): Promise<FrameCounter> {
    const counter = new FrameCounter(namespace, mark, labelBytes);
    await counter.#next();
    return counter;
  }

  async #next(): Promise<{ readonly lost: number; readonly counts: readonly string[] }> {
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error(`a counter of frames ended: ${this.#errors}`);
    return JSON.parse(value) as { lost: number; counts: string[] };
  }

  /** Of all frames so far. @throws Error when the kernel had no room for some of them: then a zero proves nothing */
  async counts(): Promise<readonly FrameCount[]> {
    this.#child.stdin.write('counts\n');
    const { lost, counts } = await this.#next();
    if (lost > 0) throw new Error(`${lost} frames were not captured: send fewer at once`);
    return counts.map((line) => {
      const [link = '', way = '', vni = '', label = '', count = ''] = line.split(' ');
      return { link, way: way === 'out' ? 'out' : 'in', vni: Number(vni), label, count: Number(count) };
    });
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, 'close');
    this.#child.stdin.end();
    await closed;
  }
}
