/** The pages of docs are what the schemas say, and no page of a kind that is gone is left. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { allPages } from './reference-pages.ts';

const docs = resolve(import.meta.dirname, '../../docs');

test('every page is fresh', () => {
  for (const [path, text] of allPages())
    assert.is(readFileSync(join(docs, path), 'utf8'), text, `${path}: npm run reference`);
});

test('no page is left over', () => {
  const written = readdirSync(join(docs, 'reference')).map((name) => `reference/${name}`);
  assert.equal(
    written.filter((path) => !allPages().has(path)),
    // Made from the options of Nix (cluster-tests/nix/nix-pages.ts).
    ['reference/nix-options.md'],
  );
});

test('a field shows its default, its range and what a change of it is', () => {
  const page = allPages().get('reference/vm.md') ?? '';
  assert.match(page, '| `cpus` | integer 1 to 64 | `1` | next start |');
  assert.match(page, '| `nics[].network` | text | required | added: in place; removed: in place; changed: replace |');
});

test.run();
