/**
 * Whole clouds in virtual time, each from a seed: production charts, actors, hosts and command methods under faults of
 * nodes, links, the store and every operation of the dataplane. No checker objects; the same seed gives the same run.
 */
// test limit: 120 s
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runCloud, type CloudResult } from './cloud-run.ts';

const minutes = 2;
const seeds = Array.from({ length: 16 }, (_, at) => at + 1);
const seen: CloudResult[] = [];

test(`${seeds.length} clouds of ${minutes} minutes keep the promises, and come to rest when left alone`, async () => {
  for (const seed of seeds) {
    const result = await runCloud(seed, { minutes });
    const story = [...result.violations.map(({ checker, what }) => `${checker} ${what}`), ...result.tail.slice(-40)];
    assert.is(result.violations.length, 0, `seed ${seed}, ${minutes} minutes:\n${story.join('\n')}`);
    seen.push(result);
  }
});

test('the same seed gives the same events, another seed others', async () => {
  const again = await Promise.all([3, 10].map((seed) => runCloud(seed, { minutes })));
  assert.equal(
    again.map(({ hash }) => hash),
    [3, 10].map((seed) => seen.find((one) => one.seed === seed)?.hash),
  );
  assert.is(new Set(seen.map(({ hash }) => hash)).size, seeds.length);
});

test('the runs are worth something: most commands succeed, many fail, and faults of all kinds have happened', () => {
  const total = (outcome: 'ok' | 'rejected' | 'unknown'): number =>
    seen.reduce((sum, { answers }) => sum + answers[outcome], 0);
  const ratio = total('ok') / (total('ok') + total('rejected') + total('unknown'));
  assert.ok(ratio > 0.5 && ratio < 0.95, `${Math.round(ratio * 100)} % of the commands succeeded`);
  const met = new Set(seen.flatMap(({ counts }) => [...counts.keys()]));
  for (const what of [
    'node killed',
    'node paused',
    'node cut off',
    'store stalled',
    'host reset',
    'guest ended',
    'operator meddled',
    'a shard was taken over',
    'an address was refused',
    'worker restart under a running VM',
  ])
    assert.ok(met.has(what), `in no run: ${what}`);
});

test.run();
