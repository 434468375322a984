/**
 * Test support: a controller in one process without a cluster around it: real store, journal, reader, host and control
 * API, and the deployer on it. `crashAfter` lets the controller die right after a commit: the store has it, and nothing
 * that follows from it leaves; `restart` brings up the next one.
 */
import { clusterId } from '@photoncloud/machines/values/identifiers';
import type { ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import type { ActorEvent, Command, Reply } from '@photoncloud/runtime/contract/envelope';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { actorId, type ShardId } from '@photoncloud/runtime/contract/identifiers';
import type { Commit, Journal } from '@photoncloud/runtime/contract/journal';
import { connectPhoton, type PhotonClient } from '@photoncloud/runtime/client/client';
import { nodeSocketFactory } from '@photoncloud/runtime/client/node-socket';
import { startTestApi, type TestApi } from '@photoncloud/runtime/control-api/api-for-tests';
import { createHost, type Host } from '@photoncloud/runtime/hosting/host';
import { createSystemRandom } from '@photoncloud/runtime/hosting/system-random';
import { closeStage, openStage, own, type JournalStage } from '@photoncloud/runtime/journal/journal-for-tests';
import { processClock } from '@photoncloud/runtime/journal/redis-for-tests';
import { createReader, type RedisReader } from '@photoncloud/runtime/journal/redis-reader';
import { createRegistry } from '../registry.ts';
import type { Session } from './cli/cli-session.ts';
import { noAgent, noDataplane, noHosts, noRollouts } from './no-dataplane.ts';
import { createNodeDeployer } from './node-deployer.ts';

const shards = Array.from({ length: 128 }, (_, at) => `s${at}` as ShardId);
const node = 'c1';

interface Life {
  readonly host: Host;
  readonly registry: ActorRegistry;
  /** Rejects what is asked of it once it is dead. */
  readonly death: PromiseWithResolvers<never>;
}

export class DeployerSite {
  readonly stage: JournalStage;
  readonly reader: RedisReader;
  /** Commits by any controller so far. */
  commits = 0;
  readonly #uids = new Map<string, Set<string>>();
  #epoch = 0;
  #crashAt = Infinity;
  #life: Life | undefined;
  #api: TestApi | undefined;
  readonly #clients: PhotonClient[] = [];

  private constructor(stage: JournalStage) {
    this.stage = stage;
    this.reader = createReader({ store: stage.store, clock: processClock, log: stage.log });
  }

  static async start(): Promise<DeployerSite> {
    const site = new DeployerSite(await openStage());
    await site.restart();
    const { registry } = site.life;
    const more = { registry, reader: site.reader, ask: (command: Command) => site.#ask(command) };
    const limits = { commandsPerS: 10_000, commandBurst: 10_000, scopeCommandsPerS: 10_000, scopeCommandBurst: 10_000 };
    const reads = { readsPerS: 10_000, readBurst: 10_000, scopeReadsPerS: 10_000, scopeReadBurst: 10_000 };
    site.#api = await startTestApi({ more, limits: { ...limits, ...reads } });
    return site;
  }

  private get life(): Life {
    if (this.#life === undefined) throw new Error('the controller is not up');
    return this.#life;
  }

  get isDead(): boolean {
    return this.#crashAt < this.commits;
  }

  /** Resolves once the present controller has died. */
  async died(): Promise<void> {
    // It ends in no other way.
    await this.life.death.promise.catch(() => undefined);
  }

  async #ask(command: Command): Promise<Reply> {
    const { host, death } = this.life;
    return await Promise.race([host.ask(command), death.promise]);
  }

  /** The controller dies after so many more commits; undefined: not. */
  crashAfter(commits: number | undefined): void {
    this.#crashAt = commits === undefined ? Infinity : this.commits + commits;
  }

  #note({ actor, uid }: Commit): void {
    this.#uids.set(actor, (this.#uids.get(actor) ?? new Set()).add(uid));
  }

  /** How many objects have had this id, one after the other. */
  lives(id: string): number {
    return this.#uids.get(id)?.size ?? 0;
  }

  #mortal(journal: Journal, death: Life['death']): Journal {
    const never = new Promise<never>(() => {});
    let isDead = false;
    return new Proxy(journal, {
      get: (of, name) => {
        const value: unknown = Reflect.get(of, name);
        if (name !== 'commit') return typeof value === 'function' ? (value as () => unknown).bind(of) : value;
        return async (commit: Commit): Promise<unknown> => {
          if (isDead) return await never;
          this.commits += 1;
          const outcome = await of.commit(commit);
          if (outcome.result === 'committed') this.#note(commit);
          if (this.commits <= this.#crashAt) return outcome;
          isDead = true;
          death.reject(new PhotonError('unknown', 'died', 'the controller has died', { public: true }));
          return await never;
        };
      },
    });
  }

  /** Another controller takes over all shards; what the last one still does is refused by the store. */
  async restart(): Promise<void> {
    const { journal, log } = this.stage;
    const before = this.#life;
    for (const shard of shards) before?.host.revoke(shard);
    const death = Promise.withResolvers<never>();
    // Nobody may be waiting when it dies.
    death.promise.catch(() => undefined);
    const random = createSystemRandom();
    const made: { host?: Host; registry?: ActorRegistry } = {};
    const ask = async (command: Command): Promise<Reply> => {
      if (made.host === undefined) throw new Error('the host is not up');
      return await made.host.ask(command);
    };
    const deployer = createNodeDeployer({
      registry: () => made.registry as ActorRegistry,
      reader: this.reader,
      rows: (id, keys) => journal.loadRows(id, keys),
      ask,
      clock: processClock,
      random,
      log,
    });
    const registry = (made.registry = createRegistry(noDataplane, noAgent, noHosts, deployer, noRollouts));
    const host = (made.host = createHost({
      registry,
      journal: this.#mortal(journal, death),
      directory: { ownerOf: () => node, refresh: async () => {} },
      outlet: {
        deliver: () => Promise.reject(new Error('there is no other node')),
        command: () => Promise.reject(new Error('there is no other node')),
      },
      nodeName: node,
      clock: processClock,
      random,
      log,
    }));
    this.#life = { host, registry, death };
    this.#crashAt = Infinity;
    this.#epoch += 1;
    for (const shard of shards) {
      const grant = { shard, node, era: 1, ownerEpoch: this.#epoch };
      await own(this.stage, grant);
      await host.grant(grant);
    }
    await host.tell(actorId(clusterId), { type: 'cluster.open', name: 'test' });
  }

  /** An actor hears this as from a host. */
  tell(id: string, event: ActorEvent): Promise<unknown> {
    return this.life.host.tell(actorId(id), event);
  }

  /** A session of the CLI, as one of the principals of TestPrincipals. */
  async session(principal = 'root', tenant?: string): Promise<Session> {
    const url = this.#api?.url ?? '';
    const client = await connectPhoton({ url, token: `${principal}-token`, openSocket: nodeSocketFactory({}) });
    this.#clients.push(client);
    return { client, tenantOrNone: tenant, tenant: () => tenant ?? '' } as unknown as Session;
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.close();
    for (const shard of shards) this.#life?.host.revoke(shard);
    await this.#api?.stop();
    this.reader.close();
    await closeStage(this.stage);
  }
}
