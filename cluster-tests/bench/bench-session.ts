/**
 * A cluster of a bench and a client of its control API, for one tenant: declares objects and waits for them as any
 * client does. The cluster ends with the work that it was started for, also when that fails. Used by the product's legs
 * of the benches.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { openApi } from '../cluster/api-session.ts';
import { launchCluster, type LaunchOptions, type PhotonCluster } from '../cluster/cluster-launch.ts';
import { findProgram } from '../cluster/node-program.ts';
import type { ActorJson } from '../demo/tenant-view.ts';

export const tenant = 'bench';
/** Limit for one object to become as wanted. */
const watchMs = 30_000;

const ready = /^(?:ready|active)(?:\.|$)/i;

export class BenchSession {
  readonly cluster: PhotonCluster;
  readonly client: PhotonClient;

  constructor(cluster: PhotonCluster, client: PhotonClient) {
    this.cluster = cluster;
    this.client = client;
  }

  async command(
    kind: string,
    name: string,
    verb: 'create' | 'update' | 'delete',
    spec?: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    await this.client.call(`${kind}.${verb}`, {
      scope: tenant,
      name,
      idempotencyKey: `${Date.now()}-${randomUUID()}`,
      params: spec === undefined ? {} : { spec },
    });
  }

  async get(id: string): Promise<ActorJson> {
    return (await this.client.call('actor.get', { id })) as ActorJson;
  }

  /** Follows a watch and does not poll. @param detail whether `holds` looks at the status */
  async #until(
    id: string,
    wanted: string,
    holds: (actor: ActorJson) => boolean,
    detail: boolean,
    withinMs = watchMs,
  ): Promise<void> {
    const signal = AbortSignal.timeout(withinMs);
    let last = 'absent';
    try {
      for await (const frame of this.client.watch({ ids: [id], detail }, signal)) {
        const shown = 'actors' in frame ? frame.actors : 'actor' in frame ? [frame.actor] : [];
        for (const actor of shown as readonly ActorJson[]) {
          last = actor.stateName;
          if (holds(actor)) return;
          if (/failed|defeated/i.test(last)) throw new Error(`${id} is ${last}`);
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    throw new Error(`${id} was not ${wanted} within ${withinMs} ms; it is ${last}`);
  }

  reach(id: string, states = ready): Promise<void> {
    return this.#until(id, states.source, ({ stateName }) => states.test(stateName), false);
  }

  /** @param wanted what `holds` looks for, in words */
  until(id: string, wanted: string, holds: (actor: ActorJson) => boolean, withinMs = watchMs): Promise<void> {
    return this.#until(id, wanted, holds, true, withinMs);
  }

  /** Resolves when every host has proven the newest declaration. */
  untilObserved(id: string): Promise<void> {
    const holds = ({ status }: ActorJson): boolean => status['observedGeneration'] === status['generation'];
    return this.#until(id, 'observed', holds, true);
  }

  /** CPU time of the program of a node, user and system, ms. */
  cpuMs(node: string, role: 'controller' | 'worker'): number {
    const { pid } = findProgram(this.cluster.topology, node, role);
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }
}

/** Starts a cluster with the tenant, and removes it when the work is over. @throws what the work throws */
export async function withBenchSession<Result>(
  options: Omit<LaunchOptions, 'stem' | 'tenants'>,
  work: (session: BenchSession) => Promise<Result>,
): Promise<Result> {
  const cluster = await launchCluster({ ...options, stem: 'bench', tenants: [tenant] });
  try {
    const { token } = JSON.parse(readFileSync(cluster.clientFile, 'utf8')) as { token: string };
    const client = await openApi(cluster.relay, token);
    try {
      const session = new BenchSession(cluster, client);
      await session.command('tenant', tenant, 'create', { quota: { vpc: 100, network: 1_000 } });
      return await work(session);
    } finally {
      client.close();
    }
  } finally {
    await cluster.topology.stop(0);
  }
}
