/**
 * Clients of a cluster with several controllers: one session to each, lanes that send commands all the time, and a
 * record of the answers. A lane behaves as a careful client: when no answer comes it sends the same key to another
 * controller. Used by crash-takeover.test.ts.
 */
import { randomUUID } from 'node:crypto';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { connectPhoton, type PhotonClient } from '@photoncloud/runtime/client/client';
import { nodeSocketFactory } from '@photoncloud/runtime/client/node-socket';
import { tokenOf } from './api-session.ts';
import type { PhotonCluster } from './cluster-launch.ts';
import { startRelay } from './cluster-relay.ts';
import { socketIn } from './cluster-topology.ts';
import { apiSocketName } from './photon-commands.ts';

interface Session {
  readonly client: PhotonClient;
  readonly isUp: () => boolean;
}

/** After so long without an answer the next connected controller is asked. */
const patienceMs = 500;

export interface Answered {
  readonly name: string;
  readonly key: string;
  readonly result: unknown;
}

export class TakeoverLoad {
  readonly answered: Answered[] = [];
  /** How many times a command had to be sent again before it was answered. */
  askedAgain = 0;
  stopped = false;
  readonly #sessions: readonly Session[];
  #lanes: readonly Promise<void>[] = [];

  private constructor(sessions: readonly Session[]) {
    this.#sessions = sessions;
  }

  static async open(cluster: PhotonCluster, controllers: readonly string[]): Promise<TakeoverLoad> {
    const token = tokenOf(cluster.clientFile);
    const sessions: Session[] = [];
    for (const name of controllers) {
      const relay = await startRelay(cluster.topology, socketIn(cluster.topology, name, apiSocketName));
      let up = true;
      const client = await connectPhoton({
        url: `ws://${relay}/api`,
        token,
        openSocket: nodeSocketFactory({}),
        onDrop: () => (up = false),
        onBack: () => (up = true),
      });
      sessions.push({ client, isUp: () => up });
    }
    return new TakeoverLoad(sessions);
  }

  start(lanes: number): void {
    this.#lanes = Array.from({ length: lanes }, (_, lane) => this.#run(lane));
  }

  async #run(lane: number): Promise<void> {
    for (let count = 0; !this.stopped; count += 1) await this.create(`t${lane}-${count}`, lane + count);
  }

  /** Creates a tenant; the answer comes when its VPC has a VNI, which involves three actors in three shards. */
  async create(name: string, first: number): Promise<void> {
    const key = `${Date.now()}-${randomUUID()}`;
    this.answered.push({ name, key, result: await this.ask(name, key, first) });
  }

  /** @throws PhotonError when the command is rejected, which must not happen here */
  async ask(name: string, key: string, first: number): Promise<unknown> {
    const command = { scope: name, name, idempotencyKey: key, params: {} };
    for (let at = first; ; at += 1) {
      const { client } = this.#session(at);
      try {
        return await client.call('tenant.create', command, { timeoutMs: patienceMs });
      } catch (error) {
        if (!(error instanceof PhotonError) || !error.record.retryable) throw error;
        this.askedAgain += 1;
        const pauseMs = error.record.retryAfterMs ?? 0;
        if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  }

  #session(at: number): Session {
    const up = this.#sessions.filter(({ isUp }) => isUp());
    const able = up.length > 0 ? up : this.#sessions;
    return able[at % able.length] as Session;
  }

  async read(id: string): Promise<{ readonly stateName: string; readonly status: unknown }> {
    return await this.#reading((client) => client.call('actor.get', { id }));
  }

  /** How often the command of this key is in the actor's history. */
  async timesApplied(id: string, key: string): Promise<number> {
    const { entries } = await this.#reading((client) => client.call('actor.history', { id }));
    return entries.filter((entry) => entry.cause.includes(key)).length;
  }

  async #reading<Result>(read: (client: PhotonClient) => Promise<Result>): Promise<Result> {
    for (;;) {
      try {
        return await read(this.#session(0).client);
      } catch (error) {
        if (!(error instanceof PhotonError) || error.record.code !== 'overloaded') throw error;
        await new Promise((resolve) => setTimeout(resolve, error.record.retryAfterMs ?? 50));
      }
    }
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.#lanes);
  }

  close(): void {
    for (const { client } of this.#sessions) client.close();
  }
}
