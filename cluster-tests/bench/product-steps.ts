/**
 * Steps that both the dataplane and the network bench measure: a network with a port, through photoncloud and bare, and
 * the CPU of programs while nothing happens.
 */
import type { Samples } from './bare-leg.ts';
import { summarize } from './bench-figures.ts';
import { tenant, type BenchSession } from './bench-session.ts';

/** Declares a network and a port on the host, and removes them. @returns ms from declaring to READY */
export async function networkAndPort(session: BenchSession, host: string, run: number): Promise<number> {
  const [vpc, network, port] = [`vpc-${run}`, `net-${run}`, `port-${run}`];
  await session.command('vpc', vpc, 'create', {});
  const at = performance.now();
  await session.command('network', network, 'create', { vpc, subnets: [{ name: 'a', cidr: '10.77.1.0/24' }] });
  await session.command('port', port, 'create', { network, host });
  await session.reach(`port/${tenant}/${port}`);
  const ms = performance.now() - at;
  await session.command('port', port, 'delete');
  await session.command('network', network, 'delete');
  await session.command('vpc', vpc, 'delete');
  return ms;
}

/** The steps of the bare leg that together make a network with one port. */
const networkSteps = ['network_realize', 'dnsmasq_ready', 'tap_create', 'tap_move', 'port_realize'] as const;

/** @param samples of the bare leg `network` @returns ms, of the medians */
export const bareNetworkAndPort = (samples: Samples): number =>
  networkSteps.reduce((sum, step) => sum + summarize(samples[step] ?? []).median, 0);

export const networkLimit = { rule: '2 x bare + 100 ms', of: (bare: number): number => 2 * bare + 100 } as const;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** @returns for each program, its share of one CPU while nothing happens, percent */
export async function idleCpu(
  session: BenchSession,
  programs: readonly (readonly [node: string, role: 'controller' | 'worker'])[],
  seconds: number,
): Promise<readonly number[]> {
  // Work of the commands before must be over first, and what V8 compiles and collects after a start.
  await pause(10_000);
  const read = (): number[] => programs.map(([node, role]) => session.cpuMs(node, role));
  const before = read();
  await pause(seconds * 1_000);
  return read().map((ms, index) => ((ms - (before[index] ?? 0)) / (seconds * 1_000)) * 100);
}
