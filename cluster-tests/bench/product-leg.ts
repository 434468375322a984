/**
 * How long the steps of the bare leg take through photoncloud: from declaring a network and a port until both are
 * ready, from declaring a VM until its page answers, 200 ports one after the other, and the CPU of an idle controller.
 * It declares and watches through the control API as any client does; its cluster ends with it.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { openApi } from '../cluster/api-session.ts';
import { launchCluster, type PhotonCluster } from '../cluster/cluster-launch.ts';
import { findProgram } from '../cluster/node-program.ts';
import type { PlannedNode } from '../cluster/photon-commands.ts';
import { fetchPage } from '../demo/guest-page.ts';
import { placeOf, type ActorJson } from '../demo/tenant-view.ts';
import { buildGuestImage } from '../guest/guest-image.ts';
import type { Samples } from './bare-leg.ts';

const tenant = 'bench';
const host = 'w1';
const nodes: readonly PlannedNode[] = [
  { name: 's1', role: 'store' },
  { name: 'c1', role: 'controller' },
  { name: host, role: 'worker' },
];
/** Limit for one object to become ready. */
const watchMs = 30_000;

export interface ProductOptions {
  readonly runs: number;
  readonly ports: number;
  readonly idleSeconds: number;
  readonly say: (line: string) => void;
}

export interface ProductFigures {
  readonly samples: Samples;
  /** Share of one CPU, percent. */
  readonly controllerIdlePercent: number;
}

class Bench {
  readonly cluster: PhotonCluster;
  readonly client: PhotonClient;

  constructor(cluster: PhotonCluster, client: PhotonClient) {
    this.cluster = cluster;
    this.client = client;
  }

  async command(
    kind: string,
    name: string,
    verb: 'create' | 'delete',
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

  /** Resolves when the actor is in one of the states; it follows a watch and does not poll. */
  async reach(id: string, states: RegExp): Promise<void> {
    const signal = AbortSignal.timeout(watchMs);
    let last = 'absent';
    try {
      for await (const frame of this.client.watch({ ids: [id] }, signal)) {
        const shown = 'actors' in frame ? frame.actors : 'actor' in frame ? [frame.actor] : [];
        for (const actor of shown) {
          last = (actor as { stateName: string }).stateName;
          if (states.test(last)) return;
          if (/failed|defeated/i.test(last)) throw new Error(`${id} is ${last}`);
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    throw new Error(`${id} was not ${states.source} within ${watchMs} ms; it is ${last}`);
  }
}

const ready = /^(?:ready|active)(?:\.|$)/i;

async function networkAndPort(bench: Bench, runs: number): Promise<number[]> {
  const samples: number[] = [];
  for (let run = 0; run < runs; run++) {
    const [vpc, network, port] = [`vpc-${run}`, `net-${run}`, `port-${run}`];
    await bench.command('vpc', vpc, 'create', {});
    const at = performance.now();
    await bench.command('network', network, 'create', { vpc, subnets: [{ name: 'a', cidr: '10.77.1.0/24' }] });
    await bench.command('port', port, 'create', { network, host });
    await bench.reach(`port/${tenant}/${port}`, ready);
    samples.push(performance.now() - at);
    await bench.command('port', port, 'delete');
    await bench.command('network', network, 'delete');
    await bench.command('vpc', vpc, 'delete');
  }
  return samples;
}

async function manyPorts(bench: Bench, count: number): Promise<number[]> {
  await bench.command('vpc', 'many', 'create', {});
  await bench.command('network', 'many', 'create', { vpc: 'many', subnets: [{ name: 'a', cidr: '10.78.0.0/23' }] });
  const samples: number[] = [];
  for (let k = 0; k < count; k++) {
    const at = performance.now();
    await bench.command('port', `many-${k}`, 'create', { network: 'many', host });
    await bench.reach(`port/${tenant}/many-${k}`, ready);
    samples.push(performance.now() - at);
  }
  return samples;
}

async function virtualMachines(bench: Bench, runs: number, commandLine: string): Promise<number[]> {
  await bench.command('vpc', 'vms', 'create', {});
  await bench.command('network', 'vms', 'create', { vpc: 'vms', subnets: [{ name: 'a', cidr: '10.79.0.0/24' }] });
  for (const [name, file, format] of [
    ['kernel', 'vmlinuz', 'kernel'],
    ['initrd', 'initrd.img', 'initrd'],
  ] as const) {
    await bench.command('image', name, 'create', { source: { path: `/run/guest/${file}` }, format, host });
    await bench.reach(`image/${tenant}/${name}`, ready);
  }
  const samples: number[] = [];
  for (let run = 0; run < runs; run++) {
    const [vm, volume] = [`vm-${run}`, `disk-${run}`];
    const at = performance.now();
    await bench.command('volume', volume, 'create', { sizeMib: 64 });
    await bench.command('vm', vm, 'create', {
      memoryMib: 128,
      host,
      nics: [{ network: 'vms' }],
      disks: [{ volume }],
      boot: { kernel: 'kernel', initrd: 'initrd', commandLine },
    });
    await bench.reach(`vm/${tenant}/${vm}`, /^running/i);
    const place = await placeOf(bench.cluster.topology, (id) => bench.get(id), `vm/${tenant}/${vm}`, 'vms');
    await fetchPage(place, '/', 60_000);
    samples.push(performance.now() - at);
    await bench.command('vm', vm, 'delete');
    await bench.command('volume', volume, 'delete');
  }
  return samples;
}

/** User and system time of a process, ms. */
function cpuMs(pid: number): number {
  const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function controllerIdle(bench: Bench, seconds: number): Promise<number> {
  const { pid } = findProgram(bench.cluster.topology, 'c1', 'controller');
  // Work of the commands before must be over first.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  const before = cpuMs(pid);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  return ((cpuMs(pid) - before) / (seconds * 1_000)) * 100;
}

async function measure(bench: Bench, options: ProductOptions, commandLine: string): Promise<ProductFigures> {
  const { runs, say } = options;
  const quota = { vpc: 100, network: 1_000 };
  await bench.client.call('tenant.create', {
    scope: tenant,
    name: tenant,
    idempotencyKey: `${Date.now()}-${randomUUID()}`,
    params: { spec: { quota } },
  });
  say('product: controller idle');
  const controllerIdlePercent = await controllerIdle(bench, options.idleSeconds);
  say('product: network and port');
  const network = await networkAndPort(bench, runs);
  say('product: VM');
  const vm = await virtualMachines(bench, Math.min(runs, 3), commandLine);
  say(`product: ${options.ports} ports`);
  const ports = await manyPorts(bench, options.ports);
  return { samples: { network_and_port: network, vm_to_http: vm, port: ports }, controllerIdlePercent };
}

/** @throws Error naming the object that did not become ready; the cluster has been removed by then. */
export async function runProductLeg(options: ProductOptions): Promise<ProductFigures> {
  const guest = await buildGuestImage();
  const cluster = await launchCluster({
    stem: 'bench',
    nodes,
    tenants: [tenant],
    images: { '/run/guest': guest.folder },
  });
  try {
    const { token } = JSON.parse(readFileSync(cluster.clientFile, 'utf8')) as { token: string };
    const client = await openApi(cluster.relay, token);
    try {
      return await measure(new Bench(cluster, client), options, guest.commandLine);
    } finally {
      client.close();
    }
  } finally {
    await cluster.topology.stop(0);
  }
}
