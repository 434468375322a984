/**
 * A tenant of a cluster under faults: commands with idempotency keys, waits whose errors name the wanted and the last
 * state, and the objects that crash tests start from. It uses the control API as any client does and causes no faults.
 * Used by the crash, fault and rollback tests.
 */
import { randomUUID } from 'node:crypto';
import { connectPhoton, type ActorObject, type PhotonClient } from '@photoncloud/runtime/client/client';
import type { ClientSocket, SocketFactory } from '@photoncloud/runtime/client/client-socket';
import { nodeSocketFactory } from '@photoncloud/runtime/client/node-socket';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { GuestPlace } from '../demo/guest-page.ts';
import { placeOf, type ActorJson, type GetActor } from '../demo/tenant-view.ts';
import type { PhotonCluster } from './cluster-launch.ts';
import type { Topology } from './cluster-topology.ts';
import { until } from './process-identity.ts';
import { asParams, tokenOf } from './api-session.ts';
import { patienceMs } from '@photoncloud/runtime/contract/patience-for-tests';

export const tenant = 'acme';

type Params = Readonly<Record<string, unknown>>;

/** Pause between two reads of a wait. */
const lookEveryMs = 40;
const dialEveryMs = 40;
/** WebSocket close code of a connection that was not closed by the other end: no controller is there. */
const abnormalClosure = 1006;

/**
 * A socket factory that connects as soon as a restarted controller listens. The client by itself doubles its pause
 * after each failure, and a test that kills many controllers would spend most of its time waiting.
 */
const dialsOften =
  (open: SocketFactory): SocketFactory =>
  (url, protocol, listener) => {
    let socket: ClientSocket;
    let wasThere = false;
    let isOver = false;
    let pause: NodeJS.Timeout | undefined;
    const dial = (): void => {
      pause = undefined;
      socket = open(url, protocol, {
        onText: (text) => {
          wasThere = true;
          listener.onText(text);
        },
        onClosed: (code, why) => {
          if (isOver || wasThere || code !== abnormalClosure) listener.onClosed(code, why);
          else pause = setTimeout(dial, dialEveryMs);
        },
      });
    };
    dial();
    return {
      send: (text) => socket.send(text),
      soon: (task) => socket.soon(task),
      close: (code, why) => {
        isOver = true;
        if (pause === undefined) return socket.close(code, why);
        clearTimeout(pause);
        listener.onClosed(abnormalClosure, why);
      },
    };
  };

export class CrashTenant {
  readonly client: PhotonClient;
  readonly #topology: Topology;

  private constructor(client: PhotonClient, topology: Topology) {
    this.#topology = topology;
    this.client = client;
  }

  static async open(cluster: PhotonCluster): Promise<CrashTenant> {
    const token = tokenOf(cluster.clientFile);
    const openSocket = dialsOften(nodeSocketFactory());
    const client = await connectPhoton({ url: `ws://${cluster.relay}/api`, token, openSocket });
    return new CrashTenant(client, cluster.topology);
  }

  close(): void {
    this.client.close();
  }

  /**
   * Sends one command and returns its answer; the same key gives the same answer.
   * @throws PhotonError as the server sent it; group `unknown` when no answer came in time
   */
  async ask(method: string, name: string, params: Params = {}, key: string = randomUUID(), waitMs?: number) {
    const envelope = { scope: tenant, name, idempotencyKey: key, params: asParams(method, params) };
    return await this.client.call(method, waitMs === undefined ? envelope : { ...envelope, waitMs });
  }

  /** The actor as it is now; undefined when it does not exist. */
  async find(id: string, client: PhotonClient = this.client): Promise<ActorObject | undefined> {
    try {
      const found = await client.call('actor.get', { id });
      return found.lifecycle === 'live' ? found : undefined;
    } catch (error) {
      if (error instanceof PhotonError && error.record.code === 'not_found') return undefined;
      throw error;
    }
  }

  /** Reads until the actor is as wanted. @throws Error naming the actor, the wanted and the last state */
  async reach(
    id: string,
    wanted: string,
    holds: (actor: ActorObject | undefined) => boolean,
    timeoutMs = patienceMs(),
  ): Promise<ActorObject> {
    let last: ActorObject | undefined;
    const looked = async (): Promise<boolean> => {
      last = await this.find(id);
      if (holds(last)) return true;
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
      return false;
    };
    await until(`${id} is ${wanted}`, looked, timeoutMs).catch((error: unknown) => {
      const words = last === undefined ? 'it is not there' : `it is ${last.stateName}: ${JSON.stringify(last.status)}`;
      throw new Error(`${error instanceof Error ? error.message : String(error)}; ${words}`);
    });
    return last as ActorObject;
  }

  async reachState(id: string, state: RegExp, timeoutMs = patienceMs()): Promise<ActorObject> {
    const holds = (actor: ActorObject | undefined): boolean => actor !== undefined && state.test(actor.stateName);
    return await this.reach(id, state.source, holds, timeoutMs);
  }

  async reachAbsence(id: string, timeoutMs = patienceMs()): Promise<void> {
    await this.reach(id, 'gone', (actor) => actor === undefined, timeoutMs);
  }

  /** Host, namespace and address through which the VM's page can be fetched. */
  async placeOf(vm: string): Promise<GuestPlace> {
    const get: GetActor = async (id) => (await this.client.call('actor.get', { id })) as ActorJson;
    return await placeOf(this.#topology, get, `vm/${tenant}/${vm}`);
  }

  /**
   * Creates what a VM needs before it can be declared: tenant, network, images and one volume.
   * @param imageHost the host that imports the images; null for any host
   */
  async declareBasics(commandLine: string, imageHost: string | null = null): Promise<void> {
    await this.ask('tenant.create', tenant);
    await this.reachState(`vpc/${tenant}/main`, /^ready$/);
    await this.ask('network.create', 'front', { subnets: [{ name: 'web', cidr: '10.20.0.0/24' }] });
    const images = [
      ['guest-kernel', 'vmlinuz', 'kernel'],
      ['guest-initrd', 'initrd.img', 'initrd'],
    ] as const;
    for (const [name, file, format] of images) {
      await this.ask('image.create', name, { source: { path: `file:///run/guest/${file}` }, format, host: imageHost });
      await this.reachState(`image/${tenant}/${name}`, /^ready$/);
    }
    await this.ask('volume.create', 'visits', { sizeMib: 64 });
    this.#commandLine = commandLine;
  }

  #commandLine = '';

  /** Params of a small VM that uses the objects of `declareBasics`. */
  vmParams(network = 'front'): Params {
    const boot = { kernel: 'guest-kernel', initrd: 'guest-initrd', commandLine: this.#commandLine };
    return { memoryMib: 128, nics: [{ network }], disks: [{ volume: 'visits' }], boot };
  }

  /** Creates a port that is bound on the host without a VM, so that a test can open its tap. */
  async directPort(name: string, host: string): Promise<ActorObject> {
    await this.ask('port.create', name, { network: 'front', host });
    return await this.reachState(`port/${tenant}/${name}`, /^active$/);
  }
}
