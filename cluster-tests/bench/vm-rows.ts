/**
 * The product's legs of the VM bench, through the control API as any client: a VM that is declared, restarted, moved
 * between two hosts to and fro, and deleted. Called by vm-bench.ts, which takes the bare legs in turn.
 */
import { randomUUID } from 'node:crypto';
import { until } from '../cluster/process-identity.ts';
import { fetchPage, visitGuest, type GuestPlace } from '../demo/guest-page.ts';
import { placeOf } from '../demo/tenant-view.ts';
import { pageTryS } from './bare-leg.ts';
import { tenant, type BenchSession } from './bench-session.ts';
import type { Moves } from './vm-goals.ts';

export const hosts = ['w1', 'w2'] as const;
export const diskMib = 64;
const network = 'front';
/** Limit for a guest to boot. */
export const bootMs = 120_000;
const moveMs = 120_000;

interface VmStatus {
  readonly host: string;
  readonly runs: number;
  readonly lastMigration: { readonly startedAt: number; readonly result: string; readonly pauseMs: number } | null;
}

export class VmRows {
  readonly #session: BenchSession;
  readonly #commandLine: string;
  #vms = 0;

  constructor(session: BenchSession, commandLine: string) {
    this.#session = session;
    this.#commandLine = commandLine;
  }

  /**
   * What all rounds share: network, images, and a port that keeps the VPC on each host.
   * @param imageHost that others copy the images from
   */
  async prepare(imageHost: string | null = null): Promise<void> {
    const session = this.#session;
    await session.command('network', network, 'create', { subnets: [{ name: 'a', cidr: '10.79.0.0/24' }] });
    for (const [name, file, format] of [
      ['kernel', 'vmlinuz', 'kernel'],
      ['initrd', 'initrd.img', 'initrd'],
    ] as const) {
      const source = { path: `/run/guest/${file}` };
      await session.command('image', name, 'create', { source, format, host: imageHost });
      await session.reach(`image/${tenant}/${name}`);
    }
    for (const host of hosts) {
      await session.command('port', `stays-${host}`, 'create', { network, host });
      await session.reach(`port/${tenant}/stays-${host}`);
    }
  }

  /** Declares a VM, restarts it, deletes it. @returns ms until its page answers */
  async boot(): Promise<{ readonly declared: number; readonly restarted: number }> {
    const at = performance.now();
    const { vm, place } = await this.declare();
    const declared = performance.now() - at;
    const again = performance.now();
    await this.#ask('restart', vm, { graceMs: 0 });
    await this.#session.until(`vm/${tenant}/${vm}`, 'running again', ({ stateName, status }) => {
      return stateName === 'running' && (status as unknown as VmStatus).runs === 2;
    });
    await fetchPage(place, '/', bootMs, pageTryS);
    const restarted = performance.now() - again;
    await this.#delete(vm);
    return { declared, restarted };
  }

  /** Moves a VM `count` times while its page is visited. */
  async moves(count: number): Promise<Moves> {
    const { vm, place } = await this.declare();
    const visits = new Visits(place);
    const [total, gap, pause]: [number[], number[], number[]] = [[], [], []];
    try {
      for (let move = 0; move < count; move++) {
        const pings = startPings(place);
        await new Promise((resolve) => setTimeout(resolve, 500));
        const at = performance.now();
        pause.push(await this.#move(vm));
        total.push(performance.now() - at);
        await new Promise((resolve) => setTimeout(resolve, 500));
        gap.push(await pings());
        await this.#isClear(vm);
      }
    } finally {
      await visits.stop();
    }
    await this.#delete(vm);
    return { total, gap, pause };
  }

  /** The next move begins when nothing is left of the last one. */
  async #isClear(vm: string): Promise<void> {
    const { client } = this.#session;
    await until(`nothing is left of the move of ${vm}`, async () => {
      const { actors } = await client.call('actor.list', { kind: 'migration' });
      return actors.length === 0;
    });
  }

  async #ask(verb: string, vm: string, params: object): Promise<void> {
    await this.#session.client.call(`vm.${verb}`, { scope: tenant, name: vm, idempotencyKey: randomUUID(), params });
  }

  /**
   * Declares a VM.
   * @param had its volume; by default one of its own is declared
   * @param more fields of it
   * @returns its name, when its page has answered
   */
  async declare(had?: string, more: object = {}): Promise<{ readonly vm: string; readonly place: GuestPlace }> {
    const session = this.#session;
    this.#vms += 1;
    const [vm, volume] = [`vm-${this.#vms}`, had ?? `disk-${this.#vms}`];
    if (had === undefined) await session.command('volume', volume, 'create', { sizeMib: diskMib });
    await session.command('vm', vm, 'create', {
      memoryMib: 128,
      nics: [{ network }],
      disks: [{ volume }],
      boot: { kernel: 'kernel', initrd: 'initrd', commandLine: this.#commandLine },
      ...more,
    });
    await session.reach(`vm/${tenant}/${vm}`, /^running/i);
    const place = await placeOf(session.cluster.topology, (id) => session.get(id), `vm/${tenant}/${vm}`);
    await fetchPage(place, '/', bootMs, pageTryS);
    return { vm, place };
  }

  async #delete(vm: string): Promise<void> {
    await this.#session.command('vm', vm, 'delete');
    await this.#session.command('volume', vm.replace('vm-', 'disk-'), 'delete');
  }

  /** @returns how long the guest stood still, ms */
  async #move(vm: string): Promise<number> {
    const id = `vm/${tenant}/${vm}`;
    const before = (await this.#session.get(id)).status as unknown as VmStatus;
    const to = hosts.find((host) => host !== before.host) ?? null;
    const began = (status: VmStatus): number => status.lastMigration?.startedAt ?? 0;
    let pauseMs = NaN;
    const isMoved = ({ status }: { readonly status: unknown }): boolean => {
      const now = status as VmStatus;
      if (began(now) === began(before)) return false;
      const { result, pauseMs: paused } = now.lastMigration ?? { result: '', pauseMs: NaN };
      if (result !== 'moved') throw new Error(`${id}: ${JSON.stringify(now.lastMigration)}`);
      pauseMs = paused;
      return true;
    };
    await this.#ask('migrate', vm, { to });
    await this.#session.until(id, `on ${to}`, isMoved, moveMs);
    return pauseMs;
  }
}

/**
 * Visits the page again and again, each in a connection of its own, so that the guest writes while it moves. Not
 * counted: the client is a worker's namespace, which has the gateway's address, and every host has that one; that no
 * visit is lost is seen by moving-guest.test.ts.
 */
class Visits {
  #goes = true;
  readonly #work: Promise<void>;

  constructor(place: GuestPlace) {
    this.#work = this.#visit(place);
  }

  async #visit(place: GuestPlace): Promise<void> {
    // One that was under way when the guest left is not answered, as said above.
    while (this.#goes) await visitGuest(place).catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#goes = false;
    await this.#work;
  }
}

/**
 * Pings every 20 ms until it is told to end: below that ping does not wait but looks, and takes a whole core.
 * @returns ends it and says the longest time between two answers, ms
 */
function startPings({ topology, node, namespace, address }: GuestPlace): () => Promise<number> {
  const ping = ['ping', '-n', '-D', '-i', '0.02', '-w', String(moveMs / 1000), address];
  const pinging = topology.exec(node, ['nsenter', `--net=/run/netns/${namespace}`, ...ping], moveMs + 10_000);
  // Judged when it is ended, also when the move fails before.
  pinging.catch(() => undefined);
  return async () => {
    await topology.exec(node, ['pkill', '-INT', '-x', 'ping']);
    const times = [...(await pinging).matchAll(/^\[(\d+\.\d+)\] \d+ bytes from/gm)].map((found) => Number(found[1]));
    const gaps = times.slice(1).map((at, index) => (at - (times[index] ?? at)) * 1_000);
    if (gaps.length === 0) throw new Error(`${address} did not answer to a ping`);
    return Math.max(...gaps);
  };
}
