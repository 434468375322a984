/**
 * Whole clouds in virtual time, one for each seed: production charts, actors, runtime and store scripts under faults of
 * nodes, links, the store and every dataplane operation. No checker finds a violation, and runs of one seed are equal.
 */
// time limit: 240 s
// test limit: 200 s
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { expandCloudSeed } from '../seed-options.ts';
import { runSeed, type RunResult } from '../simulation-run.ts';
import { cloudScenario } from './cloud-scenario.ts';

const minutes = 2;
const seeds = [3, 6, 11, 12, 14, 62, 89, 197];
const twice = [3, 6];
const seen = new Map<number, RunResult>();
const run = (seed: number): Promise<RunResult> => runSeed(expandCloudSeed(String(seed), minutes), cloudScenario);

test(`${seeds.length} clouds of ${minutes} minutes keep the promises, and settle once faults end`, async () => {
  for (const seed of seeds) {
    const result = await run(seed);
    const replay = `npm run simulate -- --scenario cloud --seed ${seed} --minutes ${minutes}`;
    const lines = [...result.violations, ...result.eventLog.slice(-60), replay];
    assert.is(result.violations.length, 0, lines.join('\n'));
    seen.set(seed, result);
  }
});

test('two runs of a seed have equal traces, runs of different seeds do not', async () => {
  for (const seed of twice) assert.is((await run(seed)).hash, seen.get(seed)?.hash, `seed ${seed}`);
  assert.is(new Set([...seen.values()].map(({ hash }) => hash)).size, seeds.length);
});

test('the runs cover enough: most commands succeed, some fail, and rare situations are reached', () => {
  const sum = (one: 'asked' | 'ok'): number => [...seen.values()].reduce((total, result) => total + result[one], 0);
  const ratio = sum('ok') / sum('asked');
  assert.ok(ratio > 0.5 && ratio < 0.95, `${Math.round(ratio * 100)} % of ${sum('asked')} commands succeeded`);
  const met = new Set([...seen.values()].flatMap(({ faults, reached }) => [...faults.keys(), ...reached.keys()]));
  for (const what of [
    'kill',
    'host reset',
    'guest ended',
    'kernel objects deleted by hand',
    'an address was refused',
    'a worker process died under a running VM',
    'incarnation saw an unknown outcome',
    'a late result of an effect was dropped',
    'a volume was made from a snapshot',
    'a volume was restored',
    'disks of a run were changed',
    'a guest that runs got a NIC',
    'a node was killed while disks changed',
    'dataplane: a guest was frozen for a snapshot',
    'a move of a VM has ended as moved',
    'a system was confirmed',
    'a system was rolled-back',
    'a nix-agent died during a rollout',
  ])
    assert.ok(met.has(what), `reached in no run: ${what}`);
});

test.run();
