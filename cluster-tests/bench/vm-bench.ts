/**
 * `npm run bench -- vm [--rows boot,moves,losses] [--rounds N] [--moves N] [--json FILE]`: a VM that is declared,
 * restarted, and moved between two hosts, as ratios to a bare QEMU on the same machine; and one whose host is killed.
 * Both legs follow each other in every round. Called by bench-main.ts.
 */
import { parseArgs } from 'node:util';
import { defaultNodes } from '../cluster/cluster-launch.ts';
import { buildGuestImage } from '../guest/guest-image.ts';
import { runBareLeg } from './bare-leg.ts';
import { BenchReport } from './bench-report.ts';
import type { RowReport } from './bench-goals.ts';
import { withBenchSession } from './bench-session.ts';
import { LostHosts, lossNodes } from './lost-host-row.ts';
import { bootReport, lossReport, moveReport } from './vm-goals.ts';
import { VmRows, diskMib } from './vm-rows.ts';

export const vmUsage = 'npm run bench -- vm [--rows boot,moves,losses] [--rounds N] [--moves N] [--json FILE]';

const rowNames = ['boot', 'moves', 'losses'] as const;
const say = (line: string): void => void process.stderr.write(`${line}\n`);

interface Orders {
  readonly rows: readonly string[];
  readonly rounds: number;
  /** In each round. */
  readonly moves: number;
}

function readOrders(argv: readonly string[]): { readonly orders: Orders; readonly json: string | undefined } {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      rows: { type: 'string', default: rowNames.join(',') },
      rounds: { type: 'string', default: '3' },
      moves: { type: 'string', default: '4' },
      json: { type: 'string' },
    },
  });
  const count = (name: 'rounds' | 'moves', most: number): number => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= 1 && value <= most) return value;
    throw new Error(`--${name} must be a whole number from 1 to ${most}; usage: ${vmUsage}`);
  };
  const rows = values.rows.split(',');
  const unknown = rows.filter((row) => !rowNames.some((name) => name === row));
  if (unknown.length > 0) throw new Error(`no row ${unknown.join(', ')}; there are ${rowNames.join(', ')}`);
  return { orders: { rows, rounds: count('rounds', 100), moves: count('moves', 100) }, json: values.json };
}

async function measureBoots(rows: VmRows, rounds: number) {
  const boots = {
    declared: [] as number[],
    bareFirst: [] as number[],
    restarted: [] as number[],
    bareAgain: [] as number[],
  };
  for (let round = 0; round < rounds; round++) {
    say(`round ${round + 1} of ${rounds}: boot`);
    const bare = await runBareLeg({ leg: 'boot', runs: 1 });
    boots.bareFirst.push(...(bare['first_boot_to_http'] ?? []));
    boots.bareAgain.push(...(bare['boot_to_http'] ?? []));
    const { declared, restarted } = await rows.boot();
    boots.declared.push(declared);
    boots.restarted.push(restarted);
  }
  return bootReport(boots);
}

async function measureMoves(rows: VmRows, { rounds, moves }: Orders) {
  const empty = () => ({ total: [] as number[], gap: [] as number[], pause: [] as number[] });
  const [product, bare, bareTls] = [empty(), empty(), empty()];
  for (let round = 0; round < rounds; round++) {
    say(`round ${round + 1} of ${rounds}: ${moves} moves`);
    const samples = await runBareLeg({ leg: 'moves', runs: moves, diskMib, tls: false });
    const ours = await rows.moves(moves);
    const samplesTls = await runBareLeg({ leg: 'moves', runs: moves, diskMib, tls: true });
    for (const name of ['total', 'gap', 'pause'] as const) {
      bare[name].push(...(samples[name] ?? []));
      product[name].push(...ours[name]);
      bareTls[name].push(...(samplesTls[name] ?? []));
    }
  }
  return moveReport({ product, bare, bareTls });
}

async function measureLosses(hosts: LostHosts, rounds: number) {
  const losses = { left: [] as number[], answered: [] as number[], bareBoot: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    say(`round ${round + 1} of ${rounds}: a host is killed`);
    const bare = await runBareLeg({ leg: 'boot', runs: 1 });
    losses.bareBoot.push(...(bare['boot_to_http'] ?? []));
    const { left, answered } = await hosts.lose();
    losses.left.push(left);
    losses.answered.push(answered);
  }
  return lossReport(losses);
}

/** @returns the exit status, as of BenchReport */
export async function vmBench(argv: readonly string[]): Promise<number> {
  const { orders, json } = readOrders(argv);
  const { rounds } = orders;
  const report = new BenchReport('vm', 'a guest boots and is sent more slowly');
  const measure = async (name: (typeof rowNames)[number], work: () => Promise<RowReport>): Promise<void> => {
    if (!orders.rows.includes(name)) return;
    try {
      report.add(name, await work());
    } catch (error) {
      report.unmeasured(name, error);
    }
  };
  const guest = await buildGuestImage();
  const images = { '/run/guest': guest.folder };
  try {
    if (orders.rows.some((name) => name !== 'losses'))
      await withBenchSession({ nodes: defaultNodes, images }, async (session) => {
        const rows = new VmRows(session, guest.commandLine);
        await rows.prepare();
        await measure('boot', () => measureBoots(rows, rounds));
        await measure('moves', () => measureMoves(rows, orders));
      });
  } catch (error) {
    report.unmeasured('the cluster', error);
  }
  await measure('losses', () =>
    withBenchSession({ nodes: lossNodes, images }, async (session) =>
      measureLosses(await LostHosts.open(session, guest.commandLine), rounds),
    ),
  );
  return report.print(orders, json);
}
