/**
 * Rows of the network bench that need one host and no cluster: the dataplane works in namespaces of this program, and
 * the bare leg beside it. Started by network-bench.ts in namespaces of its own, with its options as JSON; progress goes
 * to stderr, the last line of stdout is the reports.
 */
import { createDataplane } from '@photoncloud/actors/dataplane/linux-dataplane';
import { makeTestFolder, run, testOptions } from '@photoncloud/actors/dataplane/dataplane-for-tests';
import type { RowReport } from './bench-goals.ts';
import { MemberRow, WiringRow, type HostScene } from './network-host-rows.ts';

export interface HostOrders extends HostScene {
  readonly rows: readonly string[];
  readonly rounds: number;
}

export interface HostAnswer {
  readonly reports: Readonly<Record<string, RowReport>>;
  readonly unmeasured: Readonly<Record<string, string>>;
}

const orders = JSON.parse(process.argv[2] ?? '') as HostOrders;
await run('ip', 'link', 'set', 'lo', 'up');
const { folder, remove } = makeTestFolder();
const dp = await createDataplane(testOptions(folder));
const reports: Record<string, RowReport> = {};
const unmeasured: Record<string, string> = {};
try {
  for (const name of orders.rows) {
    process.stderr.write(`${name}\n`);
    const row = name === 'members' ? new MemberRow(dp, orders) : new WiringRow(dp, orders);
    try {
      await row.prepare();
      for (let round = 0; round < orders.rounds; round++) await row.round();
      reports[name] = row.report();
    } catch (error) {
      unmeasured[name] = error instanceof Error ? error.message : String(error);
    } finally {
      await row.close();
    }
  }
} finally {
  await dp.close();
  remove();
}
process.stdout.write(`${JSON.stringify({ reports, unmeasured } satisfies HostAnswer)}\n`, () => process.exit(0));
