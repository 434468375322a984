/**
 * Holds the whole checkout to the house style and its import directions; the tables are tidy-rules.ts.
 * One test per family of rules, each message with file, line, and what to do instead.
 */
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkImports } from './tidy-imports.ts';
import {
  checkLinks,
  checkNames,
  checkRetiredWords,
  checkText,
  checkTopLevel,
  checkUniqueNames,
} from './tidy-layout.ts';
import { exceptions } from './tidy-rules.ts';
import { formatFinding, listFiles, readSource, type Finding } from './tidy-sources.ts';
import { checkSyntax } from './tidy-syntax.ts';

const top = join(import.meta.dirname, '../..');
// docs/clients holds examples of programs outside of the project; they import nothing of it.
const paths = listFiles(top).filter((path) => !path.startsWith('docs/clients/') || path.endsWith('.md'));
const sources = paths
  .filter((path) => /\.(ts|tsx|sh|lua|pl)$/.test(path) && !path.includes('/fixtures/'))
  .map((path) => readSource(top, path));
const used = new Set<string>();

/** Fails with every finding that no exception covers. */
function assertNone(findings: readonly Finding[]): void {
  const left = findings.filter((finding) => {
    const exception = exceptions.find((one) => one.rule === finding.rule && one.file === finding.file);
    if (exception !== undefined) used.add(`${exception.rule} ${exception.file}`);
    return exception === undefined;
  });
  if (left.length === 0) return;
  const message = `${left.length} to mend:\n${left.map(formatFinding).join('\n')}`;
  throw Object.assign(new Error(message), { stack: '' });
}

test('imports go one way', () => {
  assertNone(sources.flatMap(checkImports));
});
test('no banned call, form or swallowed error', () => {
  assertNone(sources.flatMap(checkSyntax));
});
test('files, lines and heads', () => {
  assertNone(sources.flatMap(checkText));
});
test('names', () => {
  assertNone([...sources.flatMap(checkNames), ...checkUniqueNames(sources.map((one) => one.path))]);
});
test('words of the glossary', () => {
  const pages = paths.filter((path) => path.endsWith('.md')).map((path) => readSource(top, path));
  const spoken = [...sources, ...pages].filter(({ path }) => !path.startsWith('cluster-tests/harness/tidy-'));
  assertNone(spoken.flatMap(checkRetiredWords));
});
test('top level', () => {
  assertNone(checkTopLevel(paths));
});

test('pages lead to files that exist', () => {
  assert.ok(
    paths.includes('docs/map.md'),
    'docs/map.md is missing: it says which file answers which request to change',
  );
  const pages = paths.filter((path) => path.endsWith('.md')).map((path) => readSource(top, path));
  assertNone(pages.flatMap((page) => checkLinks(top, page)));
});

test('every exception is still needed', () => {
  const idle = exceptions.filter((one) => !used.has(`${one.rule} ${one.file}`));
  assert.equal(idle, [], 'remove these from tidy-rules.ts');
});

test.run();
