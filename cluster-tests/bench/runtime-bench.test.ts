/** The runtime bench as a program: a short row ends with a verdict; wrong arguments are named and give status 2. */
// runs: alone
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const program = join(import.meta.dirname, 'bench-main.ts');

function bench(...argv: readonly string[]): Promise<{ status: number; output: string; complaint: string }> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [program, ...argv], { timeout: 50_000 }, (_, output, complaint) => {
      resolve({ status: child.exitCode ?? -1, output, complaint });
    });
  });
}

test('a row is measured and judged; the last line is JSON', async () => {
  const { status, output, complaint } = await bench('runtime', '--rows', 'latency', '--rounds', '1', '--quick');
  const report = JSON.parse(output.trimEnd().split('\n').at(-1) ?? '') as {
    goals: { name: string; value: number; holds: boolean }[];
    unmeasured: Record<string, string>;
  };
  assert.equal(report.unmeasured, {}, complaint);
  assert.is(report.goals.length, 2);
  for (const goal of report.goals) assert.ok(goal.value > 0.05 && goal.value < 1_000, `${goal.name}: ${goal.value}`);
  assert.is(status, report.goals.every((goal) => goal.holds) ? 0 : 1);
});

test('an unknown row and an invalid number are refused', async () => {
  const strange = await bench('runtime', '--rows', 'latency,gravity');
  assert.is(strange.status, 2);
  assert.match(strange.complaint, /no row gravity, but throughput/);
  assert.is((await bench('runtime', '--rounds', '0')).status, 2);
  assert.is((await bench('nonsense')).status, 2);
});

test.run();
