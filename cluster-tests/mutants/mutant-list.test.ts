/**
 * Every mutant still matches the code; `npm test` checks that, so that it is not first noticed by `npm run mutants`.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { cloudMutants } from './cloud-mutant-list.ts';
import { mutants } from './mutant-list.ts';
import { promiseMutants } from './promise-mutant-list.ts';
import { testedMutants } from './tested-mutant-list.ts';

const top = join(import.meta.dirname, '..', '..');

test('every text that a mutant replaces occurs exactly once in its file', () => {
  const misfits = [...mutants, ...promiseMutants, ...cloudMutants, ...testedMutants].flatMap(({ name, patches }) =>
    patches.flatMap(({ file, find }) => {
      const times = readFileSync(join(top, file), 'utf8').split(find).length - 1;
      return times === 1 ? [] : [`${name}: ${times} times in ${file}`];
    }),
  );
  assert.equal(misfits, []);
});

test.run();
