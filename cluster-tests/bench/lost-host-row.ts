/**
 * The row of the VM bench with hosts that die: a VM with a shared volume that is declared to start elsewhere; the
 * worker of its host and its QEMU are killed, and its page is asked for until the new run answers. In a cluster of its
 * own, with a storage host that is not lost. Called by vm-bench.ts, which takes a bare boot in turn.
 */
import { randomUUID } from 'node:crypto';
import { startNode } from '../cluster/cluster-launch.ts';
import { killInside, sightOf } from '../cluster/crash-sight.ts';
import { findProgram } from '../cluster/node-program.ts';
import type { PlannedNode } from '../cluster/photon-commands.ts';
import { signal } from '../cluster/process-identity.ts';
import { fetchPage } from '../demo/guest-page.ts';
import { placeOf } from '../demo/tenant-view.ts';
import { pageTryS } from './bare-leg.ts';
import { tenant, type BenchSession } from './bench-session.ts';
import { VmRows, bootMs, diskMib } from './vm-rows.ts';

const storage = 'w3';
export const lossNodes: readonly PlannedNode[] = [
  { name: 's1', role: 'store' },
  { name: 'c1', role: 'controller' },
  { name: 'w1', role: 'worker' },
  { name: 'w2', role: 'worker' },
  { name: storage, role: 'worker', storage: true },
];
const lossMs = 180_000;

interface VmStatus {
  readonly host: string | null;
  readonly lastLoss: { readonly leftAt: number } | null;
}

export interface Loss {
  /** ms from the kill until the VM gave up its run, and until the page of the new one answered. */
  readonly left: number;
  readonly answered: number;
}

export class LostHosts {
  readonly #session: BenchSession;
  readonly #vm: string;

  private constructor(session: BenchSession, vm: string) {
    this.#session = session;
    this.#vm = vm;
  }

  /** Declares the VM, and waits for its page. */
  static async open(session: BenchSession, commandLine: string): Promise<LostHosts> {
    const rows = new VmRows(session, commandLine);
    await rows.prepare(storage);
    // It holds the volume, and gets no VM.
    await session.command('volume', 'kept', 'create', { class: 'shared', sizeMib: diskMib });
    await session.client.call('host.cordon', {
      scope: 'system',
      name: storage,
      idempotencyKey: randomUUID(),
      params: {},
    });
    const { vm } = await rows.declare('kept', { hostFailurePolicy: 'elsewhere' });
    return new LostHosts(session, `vm/${tenant}/${vm}`);
  }

  async #status(): Promise<VmStatus> {
    return (await this.#session.get(this.#vm)).status as unknown as VmStatus;
  }

  /** Kills the host of the VM; when it resolves the host is back, and nothing is left of the former run. */
  async lose(): Promise<Loss> {
    const { topology } = this.#session.cluster;
    const lost = String((await this.#status()).host);
    const { qemus } = await sightOf(topology, lost);
    const [at, wallAt] = [performance.now(), Date.now()];
    signal(findProgram(topology, lost, 'worker'), 'SIGKILL');
    for (const qemu of qemus) await killInside(topology, lost, qemu);
    await this.#session.until(
      this.#vm,
      `running on another host than ${lost}`,
      ({ stateName, status }) => stateName === 'running' && (status as unknown as VmStatus).host !== lost,
      lossMs,
    );
    const place = await placeOf(topology, (id) => this.#session.get(id), this.#vm);
    await fetchPage(place, '/', bootMs, pageTryS);
    const answered = performance.now() - at;
    const { lastLoss } = await this.#status();
    await startNode(topology, { name: lost, role: 'worker' });
    await this.#session.reach(`host/system/${lost}`, /ready$/i);
    await this.#session.until(
      this.#vm.replace('vm/', 'port/') + '.eth0',
      'of one host',
      ({ status }) => (status as { abandoned: readonly unknown[] }).abandoned.length === 0,
      lossMs,
    );
    return { left: (lastLoss?.leftAt ?? NaN) - wallAt, answered };
  }
}
