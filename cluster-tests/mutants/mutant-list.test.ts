/** Every mutant still fits the code: noticed by `npm test`, not only by the next long count. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { cloudMutants } from './cloud-mutant-list.ts';
import { mutants } from './mutant-list.ts';
import { promiseMutants } from './promise-mutant-list.ts';

const top = join(import.meta.dirname, '..', '..');

test('the text of every mutant stands exactly once in its file', () => {
  const misfits = [...mutants, ...promiseMutants, ...cloudMutants].flatMap(({ name, patches }) =>
    patches.flatMap(({ file, find }) => {
      const times = readFileSync(join(top, file), 'utf8').split(find).length - 1;
      return times === 1 ? [] : [`${name}: ${times} times in ${file}`];
    }),
  );
  assert.equal(misfits, []);
});

test.run();
