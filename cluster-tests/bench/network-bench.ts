/**
 * `npm run bench -- network [--rows a,b] [--rounds N] [--hosts N] [--ports N] [--rules N] [--members N] [--wired N]
 * [--rebooted N] [--json FILE]`: the numbers of networks, ports and security groups, as ratios to the bare kernel in
 * the same run. The legs of a row follow each other in every round. Rows of a whole cluster come first
 * (network-rows.ts), then the reboot of a host, in a cluster of its own (network-reboot-row.ts), then those of the
 * dataplane of one host (network-host-rows.ts). Called by bench-main.ts.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { nodeFlags } from '../harness/node-flags.ts';
import { BenchReport } from './bench-report.ts';
import { withBenchSession, type BenchSession } from './bench-session.ts';
import type { HostAnswer, HostOrders } from './network-host-main.ts';
import { RebootRow } from './network-reboot-row.ts';
import { CommandRow, IdleRow, NetworkRow, RuleRow, storeNode } from './network-rows.ts';
import type { ClusterRow, NetworkScene } from './network-rows.ts';
import { runInNamespaces } from './own-namespaces.ts';

export const networkUsage =
  'npm run bench -- network [--rows a,b] [--rounds N] [--hosts N] [--ports N] [--rules N] [--members N] [--wired N] ' +
  '[--rebooted N] [--json FILE]';

const controller = 'c1';

/** In this order: nothing has happened yet when idling is measured, and the load of commands is the last of a round. */
const clusterRows: Readonly<Record<string, (session: BenchSession, scene: NetworkScene) => ClusterRow>> = {
  idle: (session, scene) => new IdleRow(session, scene, controller),
  network: (session, scene) => new NetworkRow(session, scene),
  rules: (session, scene) => new RuleRow(session, scene),
  commands: (session) => new CommandRow(session),
};
const hostRows = ['members', 'wiring'];
const rebootRow = 'reboot';
const rowNames = [...Object.keys(clusterRows), rebootRow, ...hostRows];

/** A bench asks how much the control plane can do, not how much one session may ask of it (docs/limits.md). */
const unhurried = { commandsPerS: 100_000, commandBurst: 100_000, readsPerS: 100_000, readBurst: 100_000 };

const hostProgram = join(import.meta.dirname, 'network-host-main.ts');
/** Of the rows on one host: 10,000 ports are wired in ten minutes on a busy machine. */
const hostLimitMs = 1_800_000;

interface Orders {
  readonly rows: readonly string[];
  readonly rounds: number;
  readonly hosts: number;
  readonly ports: number;
  readonly rules: number;
  readonly members: number;
  readonly wired: number;
  readonly rebooted: number;
}

const mostOf = {
  rounds: 100,
  hosts: 16,
  // All of them are in one network of 4,093 addresses.
  ports: 250,
  rules: 200,
  members: 50_000,
  wired: 10_000,
  // As above.
  rebooted: 4_000,
};

/** @throws Error with the usage */
function readOrders(argv: readonly string[]): { readonly orders: Orders; readonly json: string | undefined } {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      rows: { type: 'string', default: rowNames.join() },
      rounds: { type: 'string', default: '5' },
      hosts: { type: 'string', default: '2' },
      ports: { type: 'string', default: '20' },
      rules: { type: 'string', default: '10' },
      members: { type: 'string', default: '1000' },
      wired: { type: 'string', default: '300' },
      rebooted: { type: 'string', default: '100' },
      json: { type: 'string' },
    },
  });
  const number = (name: keyof typeof mostOf): number => {
    const [value, most] = [Number(values[name]), mostOf[name]];
    if (Number.isInteger(value) && value >= 1 && value <= most) return value;
    throw new Error(`--${name} must be a whole number from 1 to ${most}; ${networkUsage}`);
  };
  const rows = values.rows.split(',');
  const strange = rows.find((row) => !rowNames.includes(row));
  if (strange !== undefined) throw new Error(`there is no row ${strange}, but ${rowNames.join(', ')}; ${networkUsage}`);
  const orders = {
    rows,
    rounds: number('rounds'),
    hosts: number('hosts'),
    ports: number('ports'),
    rules: number('rules'),
    members: number('members'),
    wired: number('wired'),
    rebooted: number('rebooted'),
  };
  return { orders, json: values.json };
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** A row that fails is not measured further; the others go on. */
async function measureCluster(report: BenchReport, orders: Orders): Promise<void> {
  const names = Object.keys(clusterRows).filter((name) => orders.rows.includes(name));
  if (names.length === 0) return;
  const hosts = Array.from({ length: orders.hosts }, (_, index) => `w${index + 1}`);
  const nodes = [
    { name: storeNode, role: 'store' },
    { name: controller, role: 'controller' },
    ...hosts.map((name) => ({ name, role: 'worker' }) as const),
  ] as const;
  const scene: NetworkScene = { hosts, ports: orders.ports, rules: orders.rules };
  await withBenchSession({ nodes, limits: { [controller]: { api: unhurried } } }, async (session) => {
    const rows = new Map(names.flatMap((name) => [[name, clusterRows[name]?.(session, scene)] as const]));
    for (let round = 0; round < orders.rounds; round++)
      for (const [name, row] of rows) {
        if (round > 0 && row?.once === true) continue;
        say(`round ${round + 1} of ${orders.rounds}: ${name}`);
        try {
          await row?.round(round);
        } catch (error) {
          report.unmeasured(name, error);
          rows.delete(name);
        }
      }
    for (const [name, row] of rows) {
      row?.close?.();
      if (row !== undefined) report.add(name, row.report());
    }
  });
}

async function measureReboot(report: BenchReport, { rows, rounds, rebooted }: Orders): Promise<void> {
  if (!rows.includes(rebootRow)) return;
  const host = 'w1';
  const nodes = [
    { name: storeNode, role: 'store' },
    { name: controller, role: 'controller' },
    { name: host, role: 'worker' },
  ] as const;
  await withBenchSession({ nodes, limits: { [controller]: { api: unhurried } } }, async (session) => {
    const row = new RebootRow(session, host, rebooted);
    say(`${rebootRow}: ${rebooted} ports`);
    await row.prepare();
    for (let round = 0; round < rounds; round++) {
      say(`round ${round + 1} of ${rounds}: ${rebootRow}`);
      await row.round();
    }
    report.add(rebootRow, row.report());
  });
}

async function measureHost(report: BenchReport, orders: Orders): Promise<void> {
  const rows = hostRows.filter((name) => orders.rows.includes(name));
  if (rows.length === 0) return;
  const { rounds, members, wired } = orders;
  const argument = JSON.stringify({ rows, rounds, members, wired } satisfies HostOrders);
  const argv = [process.execPath, ...nodeFlags, hostProgram, argument];
  const says = (text: string): void => void process.stderr.write(text);
  const output = await runInNamespaces(argv, { timeoutMs: hostLimitMs, says });
  const answer = JSON.parse(output.trim().split('\n').at(-1) ?? '') as HostAnswer;
  for (const [name, why] of Object.entries(answer.unmeasured)) report.unmeasured(name, why);
  for (const [name, row] of Object.entries(answer.reports)) report.add(name, row);
}

/** @returns the exit status: 0 when every goal holds, 1 when one is missed, 2 when one could not be measured */
export async function networkBench(argv: readonly string[]): Promise<number> {
  const { orders, json } = readOrders(argv);
  const report = new BenchReport('network', 'latencies will read too high, and ratios scatter');
  for (const [what, measure] of [
    ['the cluster', measureCluster],
    [rebootRow, measureReboot],
    ['the host', measureHost],
  ] as const) {
    try {
      await measure(report, orders);
    } catch (error) {
      report.unmeasured(what, error);
    }
  }
  return report.print(orders, json);
}
