/**
 * How long the steps of the bare leg take through photoncloud: from declaring a network and a port until both are
 * ready, from declaring a VM until its page answers, 200 ports one after the other, and the CPU of an idle controller.
 * It declares and watches through the control API as any client does; its cluster ends with it.
 */
import type { PlannedNode } from '../cluster/photon-commands.ts';
import { fetchPage } from '../demo/guest-page.ts';
import { placeOf } from '../demo/tenant-view.ts';
import { buildGuestImage } from '../guest/guest-image.ts';
import { pageTryS, type Samples } from './bare-leg.ts';
import { tenant, withBenchSession, type BenchSession } from './bench-session.ts';
import { idleCpu, networkAndPort } from './product-steps.ts';

const host = 'w1';
const controller = 'c1';
const nodes: readonly PlannedNode[] = [
  { name: 's1', role: 'store' },
  { name: controller, role: 'controller' },
  { name: host, role: 'worker' },
];

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

async function manyPorts(bench: BenchSession, count: number): Promise<number[]> {
  await bench.command('vpc', 'many', 'create', {});
  await bench.command('network', 'many', 'create', { vpc: 'many', subnets: [{ name: 'a', cidr: '10.78.0.0/23' }] });
  const samples: number[] = [];
  for (let k = 0; k < count; k++) {
    const at = performance.now();
    await bench.command('port', `many-${k}`, 'create', { network: 'many', host });
    await bench.reach(`port/${tenant}/many-${k}`);
    samples.push(performance.now() - at);
  }
  return samples;
}

async function virtualMachines(bench: BenchSession, runs: number, commandLine: string): Promise<number[]> {
  await bench.command('vpc', 'vms', 'create', {});
  await bench.command('network', 'vms', 'create', { vpc: 'vms', subnets: [{ name: 'a', cidr: '10.79.0.0/24' }] });
  for (const [name, file, format] of [
    ['kernel', 'vmlinuz', 'kernel'],
    ['initrd', 'initrd.img', 'initrd'],
  ] as const) {
    await bench.command('image', name, 'create', { source: { path: `/run/guest/${file}` }, format, host });
    await bench.reach(`image/${tenant}/${name}`);
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
    await fetchPage(place, '/', 60_000, pageTryS);
    samples.push(performance.now() - at);
    await bench.command('vm', vm, 'delete');
    await bench.command('volume', volume, 'delete');
  }
  return samples;
}

async function measure(bench: BenchSession, options: ProductOptions, commandLine: string): Promise<ProductFigures> {
  const { runs, say } = options;
  say('product: controller idle');
  const [controllerIdlePercent = 0] = await idleCpu(bench, [[controller, 'controller']], options.idleSeconds);
  say('product: network and port');
  const network: number[] = [];
  for (let run = 0; run < runs; run++) network.push(await networkAndPort(bench, host, run));
  say('product: VM');
  const vm = await virtualMachines(bench, Math.min(runs, 3), commandLine);
  say(`product: ${options.ports} ports`);
  const ports = await manyPorts(bench, options.ports);
  return { samples: { network_and_port: network, vm_to_http: vm, port: ports }, controllerIdlePercent };
}

/** @throws Error naming the object that did not become ready; the cluster has been removed by then. */
export async function runProductLeg(options: ProductOptions): Promise<ProductFigures> {
  const guest = await buildGuestImage();
  return await withBenchSession({ nodes, images: { '/run/guest': guest.folder } }, (session) =>
    measure(session, options, guest.commandLine),
  );
}
