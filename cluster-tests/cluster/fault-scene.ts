/**
 * Runs a cluster under a steady load while one fault after the other is injected, and judges it in two ways:
 * load-judge.ts compares every answer with the final state (K2, K3, K5 of docs/promises.md), and an observer of the
 * worker's kernel must see exactly one QEMU of the one VM at all times (K1). A run with too few answers is invalid and
 * fails as such. Called by faults.test.ts and faults-store.test.ts, which bring the list of faults.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import * as assert from 'uvu/assert';
import { buildGuestImage } from '../guest/guest-image.ts';
import { openSession, tokenOf } from './api-session.ts';
import { launchCluster, type LaunchOptions, type PhotonCluster } from './cluster-launch.ts';
import { socketIn } from './cluster-topology.ts';
import { CommandLoad, type LoadFigures } from './command-load.ts';
import { CrashTenant, tenant } from './crash-tenant.ts';
import { invalidity, wrongsOf, type PortNow } from './load-judge.ts';
import type { Fault } from './nemesis.ts';
import { logPath } from './node-program.ts';
import { apiSocketName } from './photon-commands.ts';
import { watchQemus } from './copy-watch.ts';

/** Each session has its own rate limit; so many sessions suffice for the wanted rate. */
const sessionsEach = 4;
const wantedPerS = 200;
/** Networks of one VPC, so that addresses are unique over all of them. */
const networks = Array.from({ length: 8 }, (_, index) => `busy-${index}`);
/** How long a fault lasts: longer than the silence timeout after which a controller's shards are taken over. */
const faultMs = 3_500;
const calmMs = 2_500;
const worker = 'w1';

export class FaultScene {
  readonly #cluster: PhotonCluster;
  readonly #acme: CrashTenant;
  readonly #clients: readonly PhotonClient[];
  #lastFault = 'no fault';

  private constructor(cluster: PhotonCluster, acme: CrashTenant, clients: readonly PhotonClient[]) {
    this.#cluster = cluster;
    this.#acme = acme;
    this.#clients = clients;
  }

  /** Starts the cluster, a tenant with its networks, one VM on `w1`, and sessions to every controller. */
  static async open(plan: Pick<LaunchOptions, 'stem' | 'nodes' | 'storeBoxes'>): Promise<FaultScene> {
    const guest = await buildGuestImage();
    const cluster = await launchCluster({ ...plan, images: { '/run/guest': guest.folder } });
    try {
      const acme = await CrashTenant.open(cluster);
      await acme.declareBasics(guest.commandLine);
      for (const [index, name] of networks.entries()) {
        await acme.ask('network.create', name, { subnets: [{ name: 'a', cidr: `10.40.${index}.0/24` }] });
      }
      await acme.ask('vm.create', 'watched', acme.vmParams());
      await acme.reachState(`vm/${tenant}/watched`, /^running$/, 60_000);
      return new FaultScene(cluster, acme, await sessionsOf(cluster));
    } catch (error) {
      await cluster.topology.stop(0);
      throw error;
    }
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close();
    this.#acme.close();
    await this.#cluster.topology.stop(0);
  }

  /** @throws AssertionError naming what was lost, applied twice or seen on the worker, or why the run is invalid */
  async judge(faults: readonly Fault[], rounds: number): Promise<void> {
    const load = new CommandLoad({ clients: this.#clients, tenant, networks, commandsPerS: 240, ports: 320 });
    const seen = watchQemus({
      topology: this.#cluster.topology,
      nodes: [worker],
      everyMs: 200,
      isRight: (count) => count === 1,
      meanwhile: () => this.#lastFault,
    });
    let observed: string[] = [];
    try {
      await pause(calmMs);
      for (let round = 0; round < rounds; round++) await this.#goThrough(faults, () => load.figures());
      await load.stop(20_000);
    } catch (error) {
      throw new Error(`${String(error)}\n${this.#loggedErrors()}`, { cause: error });
    } finally {
      observed = await seen();
    }
    const figures = load.figures();
    console.log(JSON.stringify(figures));
    const names = new Set(load.records.map((record) => record.port));
    const now = await this.#portsNow(names).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.#loggedErrors()}`, { cause: error });
    });
    assert.equal(wrongsOf(load.records, now), []);
    assert.equal(observed, [], 'what was seen on the worker');
    await this.#acme.reachState(`vm/${tenant}/watched`, /^running$/);
    const invalid = invalidity(figures, wantedPerS);
    assert.is(invalid, undefined, `${invalid}\n${this.#loggedErrors()}`);
  }

  /** Injects one fault after the other, with a pause after each. */
  async #goThrough(faults: readonly Fault[], figures: () => LoadFigures): Promise<void> {
    for (const fault of faults) {
      const before = figures();
      this.#lastFault = fault.name;
      const heal = await fault.inject(this.#cluster);
      await pause(faultMs);
      await heal();
      await pause(calmMs);
      const { ok, unknown } = figures();
      console.log(`${fault.name.padEnd(36)} ${ok - before.ok} ok, ${unknown - before.unknown} unknown`);
    }
  }

  /** The sessions share the reads, each as fast as its rate limit allows. */
  async #portsNow(names: Iterable<string>): Promise<Map<string, PortNow>> {
    const now = new Map<string, PortNow>();
    const waiting = [...names];
    const readAll = async (client: PhotonClient): Promise<void> => {
      for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
        const id = `port/${tenant}/${name}`;
        const found = await this.#acme.find(id, client);
        await pause(15); // two reads for each port, within the rate limit of a session
        if (found === undefined) continue;
        const { entries } = await client.call('actor.history', { id, limit: 100 });
        const versions = entries.map((entry) => entry.version);
        now.set(name, { uid: (found.status as { uid: string }).uid, stateName: found.stateName, versions });
      }
    };
    await Promise.all(this.#clients.map(readAll));
    return now;
  }

  /** Error lines of all programs; part of a failure's message, because the logs are removed with the cluster. */
  #loggedErrors(): string {
    const lines = this.#cluster.nodes.flatMap(({ name, role }) =>
      readFileSync(logPath(this.#cluster.topology, name, role), 'utf8')
        .split('\n')
        .filter((line) => /"level":"?(50|60|error|fatal)/.test(line))
        .slice(-20)
        .map((line) => `${name}: ${line.slice(0, 600)}`),
    );
    return lines.join('\n');
  }
}

async function sessionsOf(cluster: PhotonCluster): Promise<PhotonClient[]> {
  const token = tokenOf(cluster.clientFile);
  const clients: PhotonClient[] = [];
  for (const node of cluster.nodes.filter(({ role }) => role === 'controller')) {
    const socketPath = socketIn(cluster.topology, node.name, apiSocketName);
    for (let session = 0; session < sessionsEach; session++) {
      clients.push(await openSession(socketPath, token));
    }
  }
  return clients;
}
