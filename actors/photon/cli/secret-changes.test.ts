/** `photon diff` of a secret: only the cluster can compare it, and neither text is shown. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { SpecChange } from '@photoncloud/machines/values/kind';
import { withoutEqualSecrets } from './secret-changes.ts';

const mark = 'sealed:1:7:abcdefghijklmnop';
const stored = { cpus: 1, seed: { userData: mark, network: true } };
const change = (path: string, before: unknown, after: unknown): SpecChange => ({
  path,
  before,
  after,
  change: 'next start',
});
const shown = async (changes: readonly SpecChange[], same: string) => {
  const asked: unknown[] = [];
  const left = await withoutEqualSecrets(changes, ['seed.userData'], stored, async (spec) => {
    asked.push(spec);
    return (spec as typeof stored).seed.userData === same;
  });
  return { asked, after: left.map(({ path, after }) => [path, after]) };
};

test('a secret that the cluster has is no difference; another is one, without its text', async () => {
  const [cpus, hunter] = [change('cpus', 1, 2), change('seed.userData', mark, 'hunter2')];
  const same = await shown([cpus, hunter], 'hunter2');
  assert.equal(same.after, [['cpus', 2]]);
  assert.equal(same.asked, [{ cpus: 1, seed: { userData: 'hunter2', network: true } }], 'nothing else is tried');
  const other = await shown([hunter], 'another');
  assert.equal(other.after, [['seed.userData', '(another secret)']]);
});

test('a first secret, the end of one, and another mark are differences that need no question', async () => {
  const rest = 'sealed:1:9:ponmlkjihgfedcba';
  for (const [before, after, text] of [
    [null, 'hunter2', '(a secret)'],
    [mark, null, null],
    [mark, rest, rest],
  ]) {
    const { asked, after: left } = await shown([change('seed.userData', before, after)], '');
    assert.equal([asked, left], [[], [['seed.userData', text]]]);
  }
});

test.run();
