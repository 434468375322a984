/** docs/errors.md lists every code the sources can give. */
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { errorCatalogue, errorPage, errorPagePath } from './error-catalogue.ts';

test('the page is what the sources say', () => {
  assert.is(readFileSync(errorPagePath, 'utf8'), errorPage(), 'run npm run errors');
});

test('codes of errors, of charts and of tables are found', () => {
  const codes = errorCatalogue().map(({ code }) => code);
  for (const code of ['folder_locked', 'volume_in_use', 'tun_missing', 'not_accepted'])
    assert.ok(codes.includes(code), code);
});

test.run();
