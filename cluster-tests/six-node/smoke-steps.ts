/**
 * The steps of `npm run cluster -- fresh-smoke`: the whole cluster from nothing, what its parts are for, one fault
 * after the other while visits are written, every answered visit counted, and nothing left. Each step says what it
 * saw.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { runningPrefixes } from '../cluster/cluster-topology.ts';
import { sightOfAll } from '../cluster/crash-sight.ts';
import { until } from '../cluster/process-identity.ts';
import { watchQemus } from '../cluster/copy-watch.ts';
import { listPrefixes } from '../cluster/topology-record.ts';
import type { GuestPlace } from '../demo/guest-page.ts';
import { bootSixNodes, openController, patienceMs, wholeIsReady, type SixNodes } from './six-node-boot.ts';
import type { RunRecord } from './six-node-run.ts';
import type { SmokeFault } from './smoke-faults.ts';
import { seconds, type Step } from './step-list.ts';
import { VisitWriter } from './visit-writer.ts';
import { WebApp } from './web-app.ts';

/** How long a fault lasts: longer than the silence after which a controller's shards are taken over. */
const faultMs = 3_500;

/** Tenant of the commands that are sent during faults. */
const tenant = 'smoke';

export class Smoke {
  #six: SixNodes | undefined;
  #app: WebApp | undefined;
  #place: GuestPlace | undefined;
  #writer: VisitWriter | undefined;

  readonly #record: RunRecord;

  constructor(record: RunRecord) {
    this.#record = record;
  }

  steps(faults: readonly SmokeFault[]): Step[] {
    return [
      { name: 'boot, each after what it needs', work: (say) => this.#boot(say) },
      { name: 'the whole cluster is ready', work: () => this.#wholeIsReady() },
      { name: 'a command at each controller, read at every other', work: () => this.#commands() },
      { name: 'apply what operator and tenant declare', work: (say) => this.#declare(say) },
      { name: 'the page from outside, through the gateway', work: () => this.#page() },
      { name: 'visits on the volume, counted from outside', work: () => this.#visits() },
      ...faults.map((fault) => ({ name: fault.name, work: () => this.#endure(fault) })),
      { name: 'every answered visit is there', work: () => this.#judge() },
      { name: 'delete everything', work: () => this.#remove() },
      { name: 'end the cluster', work: () => this.#end() },
    ];
  }

  /** Whatever is left, also after a failure. */
  async close(): Promise<void> {
    await this.#writer?.stop();
    await this.#six?.cluster.topology.stop(0);
  }

  async #boot(say: (line: string) => void): Promise<string> {
    this.#six = await bootSixNodes({ keep: false, say, failed: (prefix) => this.#record.keepLogs(prefix) });
    this.#record.of(this.#six.cluster.topology.prefix);
    this.#app = new WebApp(this.#six);
    return `${Object.keys(this.#six.declared.nodes).length} nodes`;
  }

  get #booted(): { readonly six: SixNodes; readonly app: WebApp } {
    if (this.#six === undefined || this.#app === undefined) throw new Error('the cluster was not booted');
    return { six: this.#six, app: this.#app };
  }

  get #served(): { readonly place: GuestPlace; readonly writer: VisitWriter } {
    if (this.#place === undefined || this.#writer === undefined) throw new Error('the page was not reached');
    return { place: this.#place, writer: this.#writer };
  }

  async #wholeIsReady(): Promise<string> {
    const { six } = this.#booted;
    await wholeIsReady(six);
    const client = await openController(six, six.controllers[0] ?? '');
    try {
      const { nodes } = await client.call('node.list', {});
      const silent = nodes.filter(({ alive }) => !alive).map(({ node }) => node);
      if (silent.length > 0) throw new Error(`silent: ${silent.join(', ')}`);
      return `${six.boxes.length} servers of the store in sync, ${nodes.length} programs alive`;
    } finally {
      client.close();
    }
  }

  async #commands(): Promise<string> {
    const { six } = this.#booted;
    const clients = await Promise.all(six.controllers.map((name) => openController(six, name)));
    try {
      const [first] = clients;
      if (first === undefined) throw new Error('no controller');
      await ask(first, 'tenant.create', tenant, {});
      for (const [at, client] of clients.entries()) {
        const name = `at-${six.controllers[at]}`;
        const key = randomUUID();
        const made = await ask(client, 'security-group.create', name, { spec: { rules: [] } }, key);
        const again = await ask(
          clients[(at + 1) % clients.length] ?? client,
          'security-group.create',
          name,
          { spec: { rules: [] } },
          key,
        );
        if (JSON.stringify(made) !== JSON.stringify(again))
          throw new Error('a repeated command was answered otherwise');
        for (const other of clients) await other.call('actor.get', { id: `security-group/${tenant}/${name}` });
      }
      await this.#isRefused();
      return `${clients.length} controllers agree; a repeated command is answered alike, a foreign tenant refused`;
    } finally {
      for (const client of clients) client.close();
    }
  }

  /** Another tenant sees none of it. */
  async #isRefused(): Promise<void> {
    const { six } = this.#booted;
    const stranger = await openController(six, six.controllers[0] ?? '', Object.keys(six.declared.tenants)[0]);
    try {
      await ask(stranger, 'security-group.create', 'mine', { spec: { rules: [] } });
    } catch (error) {
      if (error instanceof PhotonError && error.record.code === 'not_found') return;
      throw error;
    } finally {
      stranger.close();
    }
    throw new Error('a command for a foreign tenant was taken');
  }

  async #declare(say: (line: string) => void): Promise<string> {
    return `${(await this.#booted.app.declare(say)).length} objects`;
  }

  async #page(): Promise<string> {
    const { six, app } = this.#booted;
    const place = await app.place();
    await app.answers(place);
    await app.isClosed(place);
    const [host, leader] = [await app.host(), await app.leader()];
    if (!six.workers.includes(host)) throw new Error(`the VM is on ${host}, which is no worker`);
    if (!six.gateways.includes(leader)) throw new Error(`${leader} leads, which is no gateway`);
    this.#place = place;
    this.#writer = new VisitWriter(place);
    return `${place.address} by ${leader}, VM on ${host}; port 22 is closed`;
  }

  async #visits(): Promise<string> {
    const { six, app } = this.#booted;
    const { place, writer } = this.#served;
    const { volume_serial: seen } = await app.answers(place);
    const { serial, host } = await app.volume();
    if (seen !== serial) throw new Error(`the guest sees volume ${seen}, and ${serial} is declared`);
    if (!six.storages.includes(host)) throw new Error(`the bytes are on ${host}, which is no storage node`);
    writer.start();
    await writer.moreAnswers(10, patienceMs);
    await writer.stop();
    return `${await writer.judge()} written and there; volume ${serial} on ${host}`;
  }

  async #endure(fault: SmokeFault): Promise<string> {
    const { six } = this.#booted;
    const { writer } = this.#served;
    const { topology } = six.cluster;
    const isRight = (count: number): boolean => count <= 1;
    const end = watchQemus({ topology, nodes: six.workers, everyMs: 500, isRight, meanwhile: () => fault.name });
    let wrong: string[] = [];
    let seen = '';
    writer.start();
    try {
      seen = await this.#goThrough(fault);
    } finally {
      await writer.stop();
      wrong = await end();
    }
    if (wrong.length > 0) throw new Error(wrong.join('\n'));
    await writer.judge();
    return seen;
  }

  async #goThrough({ goesOn, fault }: SmokeFault): Promise<string> {
    const { six, app } = this.#booted;
    const { writer } = this.#served;
    const host = await app.host();
    const at = performance.now();
    const heal = await fault(six, host).inject(six.cluster);
    const [commandMs] = await Promise.all([
      this.#commandAnswered(),
      goesOn ? writer.moreAnswers(3, patienceMs) : undefined,
    ]);
    await pause(Math.max(0, faultMs - (performance.now() - at)));
    const { acked } = writer.figures(at);
    await heal();
    await wholeIsReady(six);
    await writer.moreAnswers(3, patienceMs);
    const { qemus } = await sightOfAll(six.cluster.topology, six.workers);
    if (qemus.length !== 1) throw new Error(`${qemus.length} QEMU run, not 1`);
    const gap = seconds(writer.figures(at).longestGapMs);
    return `${acked} visits meanwhile, longest gap ${gap}; a command was answered after ${seconds(commandMs)}`;
  }

  /** A command is taken and done while the fault lasts. @returns after how long, ms */
  async #commandAnswered(): Promise<number> {
    const { six } = this.#booted;
    const at = performance.now();
    const client = await openController(six, six.controllers[0] ?? '');
    const name = `during-${randomUUID().slice(0, 8)}`;
    const key = randomUUID();
    let last = '';
    const isTaken = async (): Promise<boolean> => {
      try {
        await ask(client, 'security-group.create', name, { spec: { rules: [] } }, key);
        return true;
      } catch (error) {
        last = String(error);
        return false; // refused while shards or the store move; the same command is repeated
      }
    };
    try {
      await until('a command is answered', isTaken, patienceMs);
      return performance.now() - at;
    } catch (error) {
      throw new Error(`${String(error)}; last: ${last}`, { cause: error });
    } finally {
      client.close();
    }
  }

  async #judge(): Promise<string> {
    return `${await this.#served.writer.judge()} answered, all there, each once`;
  }

  async #remove(): Promise<string> {
    await this.#booted.app.remove();
    return 'nothing of the tenant is left on the hosts';
  }

  async #end(): Promise<string> {
    const { topology } = this.#booted.six.cluster;
    await topology.stop();
    const { prefix } = topology;
    if (runningPrefixes().includes(prefix) || listPrefixes().includes(prefix))
      throw new Error(`${prefix} is still there`);
    return 'no process, namespace or file of it is left';
  }
}

async function ask(
  client: PhotonClient,
  method: string,
  name: string,
  params: object,
  idempotencyKey: string = randomUUID(),
): Promise<unknown> {
  return (await client.call(method, { scope: tenant, name, idempotencyKey, params })).result;
}
