/** What a run of steps says, and what counts as passed. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runSteps, stepTable, type Step } from './step-list.ts';

const step = (name: string, seen: string | Error): Step => ({
  name,
  work: (say) => {
    say(`about ${name}`);
    return seen instanceof Error ? Promise.reject(seen) : Promise.resolve(seen);
  },
});

test('after a step that failed no other is run', async () => {
  const lines: string[] = [];
  const results = await runSteps(
    [step('one', 'seen'), step('two', new Error('broke\nwhy')), step('three', '')],
    (line) => lines.push(line.replaceAll(/\d+\.\d s/g, 'T')),
  );
  assert.equal(
    results.map(({ outcome }) => outcome),
    ['passed', 'failed', 'not run'],
  );
  const said = lines.map((line) => line.replaceAll(/ +/g, ' ').replace(/^\[ T\] /, ''));
  assert.equal(said, ['about one', 'T ok one: seen', 'about two', 'T FAILED two: broke', ' why']);
  const table = stepTable(results).split('\n');
  assert.match(table[0] ?? '', /^result +time +step +seen$/);
  assert.match(table[3] ?? '', /^not run +three$/);
  assert.is(table.at(-1), '1 passed, 1 failed, 1 not run');
});

test.run();
