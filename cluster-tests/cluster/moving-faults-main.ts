/**
 * `node cluster-tests/cluster/moving-faults-main.ts [TEXT...]`: runs every case of moving-cases.ts, or those whose
 * name contains one of the texts, in one cluster; in a new one after a failed case, or when the VM is another one.
 * Prints a line for each case and a table at the end. Ends with status 1 when a case has failed. A leg of `npm run
 * campaign`: `npm run campaign -- moves`.
 */
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { moveCases, nameOf, type MoveCase } from './moving-cases.ts';
import { MoveJudge } from './moving-judge.ts';
import { runCase, type CaseResult } from './moving-run.ts';
import { MovingScene } from './moving-scene.ts';
import { checkout } from './photon-commands.ts';

const texts = process.argv.slice(2);
const cases = moveCases.filter((one) => texts.length === 0 || texts.some((text) => nameOf(one).includes(text)));
const results: (readonly [MoveCase, CaseResult])[] = [];
const logs = join(checkout, '.cache', 'campaign', 'moves');

let open: { readonly scene: MovingScene; readonly judge: MoveJudge } | undefined;

async function reopened(): Promise<{
  readonly scene: MovingScene;
  readonly judge: MoveJudge;
}> {
  const scene = await MovingScene.open(['near', 'far'], (line) => console.log(line));
  open = { scene, judge: await MoveJudge.open(scene) };
  return open;
}

/** The logs of all programs, for a person who looks for the cause. */
function keepLogs(scene: MovingScene, name: string): string {
  const folder = join(logs, name.replaceAll(/[^a-zA-Z0-9]+/g, '-'));
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const node of scene.cluster.topology.record.nodes)
    if (node.programs.length > 0)
      cpSync(join(node.folder, 'log'), join(folder, node.name), {
        recursive: true,
      });
  return folder;
}

for (const [at, one] of cases.entries()) {
  const name = nameOf(one);
  const { scene, judge } = open ?? (await reopened());
  const since = new Date().toISOString();
  const result = await runCase(scene, judge, one);
  results.push([one, result]);
  const seconds = (result.tookMs / 1_000).toFixed(0);
  console.log(`${at + 1}/${cases.length} ${result.verdict} ${name} (${seconds} s): ${result.how}`);
  if (result.verdict !== 'FAILED' && !one.isAnother) continue;
  if (result.verdict === 'FAILED') console.log(`  since ${since}; logs: ${keepLogs(scene, name)}`);
  await scene.close();
  open = undefined;
}
await open?.scene.close();

console.log(`\n${'case'.padEnd(58)} ${'result'.padEnd(8)} how it ended`);
for (const [one, { verdict, how }] of results)
  console.log(`${nameOf(one).padEnd(58)} ${verdict.padEnd(8)} ${how.split('\n')[0] ?? ''}`);
const count = (verdict: CaseResult['verdict']): number => results.filter(([, one]) => one.verdict === verdict).length;
console.log(`${count('passed')} passed, ${count('missed')} missed, ${count('FAILED')} failed`);
process.exitCode = count('FAILED') > 0 || count('passed') === 0 ? 1 : 0;
