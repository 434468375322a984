/**
 * Watches the guests of VMs from outside of the product: every 100 ms each QEMU of the workers is asked by its second
 * monitor whether its guest runs. Two QEMU of one VM whose guests run at the same time are a broken promise (K1),
 * whatever the product says. Used by moving-judge.ts.
 */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Topology } from './cluster-topology.ts';

const everyMs = 100;
/** New processes are looked for once in so many looks: that reads all of /proc. */
const findEvery = 3;
const answerMs = 500;
/** Between the two looks at one guest. */
const withinMs = 20;

interface Seen {
  readonly vm: string;
  readonly where: string;
  readonly askedMs: number;
  readonly answeredMs: number;
  readonly runs: boolean;
}

/** A monitor of one QEMU, asked again and again over one connection. */
class Monitor {
  readonly vm: string;
  readonly where: string;
  readonly #socket: Socket;
  #text = '';
  #told: ((status: string | undefined) => void) | undefined;
  isOver = false;

  constructor(vm: string, where: string, path: string) {
    this.vm = vm;
    this.where = where;
    this.#socket = connect(path);
    this.#socket.write('{"execute":"qmp_capabilities"}\n');
    this.#socket.on('data', (data: Buffer) => this.#read(data.toString()));
    this.#socket.on('error', () => this.close());
    this.#socket.on('close', () => this.close());
  }

  #read(text: string): void {
    this.#text += text;
    for (let end = this.#text.indexOf('\n'); end >= 0; end = this.#text.indexOf('\n')) {
      const found = /"return": ?\{.*"status": ?"([a-z-]+)"/.exec(this.#text.slice(0, end));
      this.#text = this.#text.slice(end + 1);
      if (found !== null) this.#told?.(found[1]);
    }
  }

  /** Undefined when it does not answer: it is stopped by a signal, or has ended. */
  async look(): Promise<Seen | undefined> {
    if (this.isOver || this.#told !== undefined) return undefined;
    const askedMs = performance.now();
    const status = await new Promise<string | undefined>((resolve) => {
      const timer = setTimeout(() => resolve(undefined), answerMs);
      this.#told = (one) => {
        clearTimeout(timer);
        this.#told = undefined;
        resolve(one);
      };
      this.#socket.write('{"execute":"query-status"}\n');
    });
    if (status === undefined) return undefined;
    const { vm, where } = this;
    return { vm, where, askedMs, answeredMs: performance.now(), runs: status === 'running' };
  }

  /** A command without an answer. */
  tell(command: string): void {
    this.#socket.write(`${JSON.stringify({ execute: command })}\n`);
  }

  close(): void {
    this.isOver = true;
    this.#told?.(undefined);
    this.#socket.destroy();
  }
}

/** QEMU processes of this machine with a MAC: command line and pid. */
function qemus(): { readonly pid: string; readonly words: string; readonly namespace: string }[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      if (!words.includes('/tooling,server=on')) return [];
      return [{ pid, words, namespace: readlinkSync(`/proc/${pid}/ns/pid`) }];
    } catch {
      return []; // ended while we looked
    }
  });
}

export class CopyWatch {
  /** Process namespace of a node -> its name, and the pid of its first process. */
  readonly #roots: ReadonlyMap<string, { readonly node: string; readonly pid: number }>;
  /** MAC -> name of the VM. */
  readonly #macs: ReadonlyMap<string, string>;
  readonly #monitors = new Map<string, Monitor>();
  #wrong: string[] = [];
  #looks = 0;
  #watching: Promise<void> | undefined;
  #isWanted = false;

  constructor(topology: Topology, nodes: readonly string[], macs: ReadonlyMap<string, string>) {
    this.#roots = new Map(
      nodes.map((node) => {
        const { pid } = topology.node(node).init;
        return [readlinkSync(`/proc/${pid}/ns/pid`), { node, pid }];
      }),
    );
    this.#macs = macs;
  }

  start(): void {
    this.#wrong = [];
    this.#looks = 0;
    this.#isWanted = true;
    this.#watching = this.#watch();
  }

  /** Tells the QEMU of a VM on a node something behind the back of the product. @throws Error when none is watched */
  tell(vm: string, where: string, command: string): void {
    const found = [...this.#monitors.values()].find((one) => one.vm === vm && one.where === where);
    if (found === undefined) throw new Error(`no QEMU of ${vm} on ${where} is watched`);
    found.tell(command);
  }

  /** @returns every moment at which two copies of a VM ran @throws Error when nothing was seen */
  async stop(): Promise<readonly string[]> {
    this.#isWanted = false;
    await this.#watching;
    for (const monitor of this.#monitors.values()) monitor.close();
    this.#monitors.clear();
    if (this.#looks === 0) throw new Error('no QEMU was seen by the watch of copies');
    return this.#wrong;
  }

  async #watch(): Promise<void> {
    let at = 0;
    while (this.#isWanted) {
      if (at % findEvery === 0) this.#find();
      at += 1;
      const looks = await Promise.all([...this.#monitors.values()].map((one) => lookTwice(one)));
      const running = looks.filter((one) => one !== undefined);
      this.#looks += running.length;
      for (const vm of new Set(running.map((one) => one.vm))) {
        const copies = running.filter((one) => one.vm === vm);
        if (copies.length > 1 && overlap(copies))
          this.#wrong.push(`${copies.map(({ where }) => where).join(' and ')} ran ${vm} at the same time`);
      }
      await pause(everyMs);
    }
  }

  #find(): void {
    for (const { pid, words, namespace } of qemus()) {
      if (this.#monitors.has(pid)) continue;
      const vm = [...this.#macs].find(([mac]) => words.includes(mac))?.[1];
      const path = /unix:(\/run\/photon-\S+\/tooling),/.exec(words)?.[1];
      const root = this.#roots.get(namespace);
      if (vm === undefined || path === undefined || root === undefined) continue;
      this.#monitors.set(pid, new Monitor(vm, root.node, `/proc/${root.pid}/root${path}`));
    }
    for (const [pid, monitor] of this.#monitors) if (monitor.isOver) this.#monitors.delete(pid);
  }
}

/** It ran from the end of the first look to the beginning of the second, if both say so. */
async function lookTwice(monitor: Monitor): Promise<Seen | undefined> {
  const first = await monitor.look();
  if (first?.runs !== true) return undefined;
  await pause(withinMs);
  const second = await monitor.look();
  return second?.runs === true ? { ...first, askedMs: first.answeredMs, answeredMs: second.askedMs } : undefined;
}

/** Some moment is within all of them. */
const overlap = (looks: readonly Seen[]): boolean =>
  Math.max(...looks.map(({ askedMs }) => askedMs)) <= Math.min(...looks.map(({ answeredMs }) => answeredMs));
