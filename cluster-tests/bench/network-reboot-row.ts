/**
 * A row of the network bench: a host that lost everything in a reboot makes a network and its ports again, and the bare
 * kernel makes as much in one batch. The kernel of the host is the judge: the /32 route is the last that a port gets
 * there. Called by network-bench.ts; its goal is in network-goals.ts.
 */
import { startNode } from '../cluster/cluster-launch.ts';
import { loseEverything } from '../cluster/host-reboot.ts';
import { findProgram } from '../cluster/node-program.ts';
import { isAlive, signal, until } from '../cluster/process-identity.ts';
import { runBareLeg } from './bare-leg.ts';
import type { RowReport } from './bench-goals.ts';
import { tenant, type BenchSession } from './bench-session.ts';
import { rebootGoals } from './network-goals.ts';
import { forEachOf } from './runtime-stage.ts';

const vpc = 'reboot';
const lanes = 4;
const limitMs = 600_000;

/** Prints the time when the namespace is there, and the time when so many ports are; seconds with a fraction. */
const watchScript = `until [ -e /run/netns/$1 ]; do sleep 0.01; done
echo $EPOCHREALTIME
count() { ip -n $1 -4 route show scope link proto boot 2>/dev/null | wc -l; }
until [ $(count $1) -ge $2 ]; do sleep 0.05; done
echo $EPOCHREALTIME`;

export class RebootRow {
  readonly #session: BenchSession;
  readonly #host: string;
  readonly #ports: number;
  #namespace = '';
  readonly #making: number[] = [];
  readonly #whole: number[] = [];
  readonly #bare: number[] = [];

  constructor(session: BenchSession, host: string, ports: number) {
    this.#session = session;
    this.#host = host;
    this.#ports = ports;
  }

  async prepare(): Promise<void> {
    const session = this.#session;
    await session.command('vpc', vpc, 'create', {});
    await session.command('network', vpc, 'create', { vpc, subnets: [{ name: 'a', cidr: '10.93.0.0/20' }] });
    await forEachOf(this.#ports, lanes, async (index) => {
      await session.command('port', `${vpc}-${index}`, 'create', { network: vpc, host: this.#host });
      await session.reach(`port/${tenant}/${vpc}-${index}`);
    });
    const { status } = await session.get(`segment/${tenant}/${vpc}@${this.#host}`);
    const proof = status['proof'] as { namespace?: string } | null;
    if (proof?.namespace === undefined) throw new Error(`no namespace proven on ${this.#host}`);
    this.#namespace = proof.namespace;
  }

  async round(): Promise<void> {
    const [bare = 0] = (await runBareLeg({ leg: 'batch', count: this.#ports }))['batch'] ?? [];
    const { topology } = this.#session.cluster;
    const worker = findProgram(topology, this.#host, 'worker');
    signal(worker, 'SIGKILL');
    await until('the worker is gone', () => !isAlive(worker));
    await loseEverything(topology, this.#host);
    const startedAt = Date.now();
    const argv = ['bash', '-c', watchScript, 'watch', this.#namespace, String(this.#ports)];
    const watching = topology.exec(this.#host, argv, limitMs);
    await startNode(topology, { name: this.#host, role: 'worker' });
    const [begun = NaN, made = NaN] = (await watching).split('\n').map((seconds) => Number(seconds) * 1_000);
    this.#bare.push(bare);
    this.#making.push(made - begun);
    this.#whole.push(made - startedAt);
    // The next reboot must not meet work of this one.
    await forEachOf(this.#ports, lanes, (index) => this.#session.reach(`port/${tenant}/${vpc}-${index}`));
  }

  report(): RowReport {
    return rebootGoals({ making: this.#making, whole: this.#whole, bare: this.#bare }, this.#ports);
  }
}
