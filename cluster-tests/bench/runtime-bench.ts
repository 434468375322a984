/**
 * `npm run bench -- runtime [--rows a,b] [--rounds N] [--quick] [--json FILE]`: measures the runtime against its goals,
 * most of them ratios to the bare limits of the same run. Each row runs in a process of its own, one after the other,
 * and is described in its own file. Prints figures and goals as tables and, as the last line, JSON. Called by
 * bench-main.ts.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { nodeFlags } from '../harness/node-flags.ts';
import type { RowReport } from './bench-goals.ts';
import { BenchReport } from './bench-report.ts';
import type { RowOptions } from './runtime-throughput.ts';

export const runtimeUsage = 'npm run bench -- runtime [--rows a,b] [--rounds N] [--quick] [--json FILE]';

const rowNames = [
  'throughput',
  'websocket',
  'backlog',
  'latency',
  'activation',
  'recovery',
  'takeover',
  'timers',
  'memory',
] as const;

const rowProgram = join(import.meta.dirname, 'runtime-row-main.ts');
const rowLimitMs = 240_000;
const goodbyeMs = 5_000;

/** @throws Error when the row ends without a report or takes too long; the row's own errors are on stderr */
function runRow(name: string, options: RowOptions): Promise<RowReport> {
  return new Promise((resolve, reject) => {
    const argv = [...nodeFlags, rowProgram, name, JSON.stringify(options)];
    const child = spawn(process.execPath, argv, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    let report: RowReport | undefined;
    let why = 'ended without a report';
    const timer = setTimeout(() => {
      why = `took more than ${rowLimitMs / 1000} s`;
      child.kill('SIGTERM');
      setTimeout(() => child.kill('SIGKILL'), goodbyeMs).unref();
    }, rowLimitMs);
    child.on('message', (news) => (report = news as RowReport));
    child.once('error', (error) => (why = error.message));
    child.once('close', () => {
      clearTimeout(timer);
      if (report === undefined) reject(new Error(`the row ${name} ${why}`));
      else resolve(report);
    });
  });
}

interface Orders {
  readonly rows: readonly string[];
  readonly options: RowOptions;
  readonly json: string | undefined;
}

/** @throws Error with the usage */
function readOrders(argv: readonly string[]): Orders {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      rows: { type: 'string', default: rowNames.join() },
      rounds: { type: 'string', default: '5' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
    },
  });
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds must be a whole number; ${runtimeUsage}`);
  const rows = values.rows.split(',');
  const strange = rows.find((row) => !rowNames.some((name) => name === row));
  if (strange !== undefined) throw new Error(`there is no row ${strange}, but ${rowNames.join(', ')}; ${runtimeUsage}`);
  const { quick } = values;
  const options = { rounds: quick ? Math.min(rounds, 3) : rounds, roundMs: quick ? 500 : 2_000, quick };
  return { rows, options, json: values.json };
}

/** @returns the exit status: 0 when every goal holds, 1 when one is missed, 2 when one could not be measured */
export async function runtimeBench(argv: readonly string[]): Promise<number> {
  const { rows, options, json } = readOrders(argv);
  const report = new BenchReport(
    'runtime',
    'CPU per message will read too high, and shares of the bare limits scatter',
  );
  for (const name of rows) {
    process.stderr.write(`${name}\n`);
    try {
      report.add(name, await runRow(name, options));
    } catch (error) {
      report.unmeasured(name, error);
    }
  }
  return report.print(options, json);
}
