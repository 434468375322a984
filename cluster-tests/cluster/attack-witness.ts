/**
 * What others notice during an attack, and what the controller says and weighs: times of calls, links that were lost,
 * memory, the delay of its event loop. Runs in the network namespace of a worker and reaches the controller's API over
 * TLS, as tenants do. Called by attacks-main.ts.
 */
import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connectPhoton, type PhotonClient } from '@photoncloud/runtime/client/client';
import { nodeSocketFactory } from '@photoncloud/runtime/client/node-socket';
import { ask, patiently } from './attack-requests.ts';
import { tokenOf } from './api-session.ts';
import { clientsFolder } from './cluster-launch.ts';
import { socketIn, type Topology } from './cluster-topology.ts';
import { findProgram, isRunning, logPath } from './node-program.ts';
import { apiSocketName } from './photon-commands.ts';

/** One thing that is done again and again, and whose times are judged. */
export interface Probe {
  readonly name: string;
  readonly everyMs: number;
  readonly work: () => Promise<unknown>;
}

export interface Sight {
  /** Times of each probe, ms. */
  readonly times: ReadonlyMap<string, readonly number[]>;
  /** Calls that failed although they were tried again; their times count, too. */
  readonly failed: number;
  readonly linksLost: number;
  /** Longest delay of the controller's event loop; NaN when it does not tell. */
  readonly delayMs: number;
  readonly peakMib: number;
}

const controller = 'c1';
const callTimeoutMs = 30_000;
const members = [
  ['c1', 'controller'],
  ['w1', 'worker'],
  ['w2', 'worker'],
] as const;
const lostLink = /"msg":"(link to a peer ended|a peer cannot be reached|a peer went silent|the link of a peer)/g;

export class Witness {
  readonly address: string;
  readonly #topology: Topology;

  constructor(topology: Topology) {
    const { folder, address } = topology.node(controller);
    const { apiListenPort } = JSON.parse(readFileSync(join(folder, 'node.json'), 'utf8')) as { apiListenPort: number };
    this.#topology = topology;
    this.address = `${address}:${apiListenPort}`;
  }

  token(name: string): string {
    const file = join(clientsFolder(this.#topology.prefix), `${name}.json`);
    return tokenOf(file);
  }

  async session(name: string): Promise<PhotonClient> {
    const token = this.token(name);
    const url = `wss://${this.address}/api`;
    return await patiently(() => connectPhoton({ url, token, openSocket: nodeSocketFactory(), callTimeoutMs }));
  }

  /** The health page, on a connection of its own as a load balancer asks for it. */
  async health(): Promise<void> {
    const { status } = await patiently(() => ask(`https://${this.address}/healthz`));
    if (status !== 200) throw new Error(`the health page was answered ${status}`);
  }

  /** Does what all probes do for so long, or until it is over, and looks at the controller meanwhile. */
  async watch(probes: readonly Probe[], over: Promise<unknown>): Promise<Sight> {
    const lostBefore = this.#lost();
    let isOver = false;
    let [peakMib, delayMs, failed] = [0, Number.NaN, 0];
    const looking = (async () => {
      while (!isOver) {
        peakMib = Math.max(peakMib, this.residentMib());
        const now = await this.#delayMs();
        delayMs = Number.isNaN(delayMs) ? now : Math.max(delayMs, now);
        await pause(250);
      }
    })();
    const measuring = probes.map(async ({ name, everyMs, work }) => {
      const took: number[] = [];
      do {
        const startedMs = performance.now();
        await work().catch((error: unknown) => {
          failed += 1;
          console.log(`  ${name}: ${String(error)}`);
        });
        took.push(performance.now() - startedMs);
        await pause(Math.max(0, everyMs - (performance.now() - startedMs)));
      } while (!isOver);
      return [name, took] as const;
    });
    await over.finally(() => (isOver = true));
    const times = new Map(await Promise.all(measuring));
    await looking;
    for (const [node, role] of members) {
      if (!isRunning(this.#topology, node, role)) throw new Error(`the ${role} ${node} has ended`);
    }
    return { times, failed, linksLost: this.#lost() - lostBefore, delayMs, peakMib };
  }

  residentMib(): number {
    const { pid } = findProgram(this.#topology, controller, 'controller');
    const [, kib = ''] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return Number(kib) / 1_024;
  }

  #lost(): number {
    const logs = members.map(([node, role]) => readFileSync(logPath(this.#topology, node, role), 'utf8'));
    return logs.reduce((sum, log) => sum + [...log.matchAll(lostLink)].length, 0);
  }

  /** The longest delay of the last ten seconds, on the socket of the controller's own computer. */
  async #delayMs(): Promise<number> {
    const text = await new Promise<string>((resolve, reject) => {
      const socketPath = socketIn(this.#topology, controller, apiSocketName);
      const asking = get({ socketPath, path: '/metrics', agent: false }, (response) => {
        let given = '';
        response.on('data', (chunk: Buffer) => (given += chunk.toString()));
        response.once('end', () => resolve(given));
      });
      asking.once('error', reject);
    });
    const [, seconds] = /^photon_event_loop_delay_max_seconds (\S+)$/m.exec(text) ?? [];
    return seconds === undefined ? Number.NaN : Number(seconds) * 1_000;
  }
}
