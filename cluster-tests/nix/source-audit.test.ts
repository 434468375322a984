// time limit: 480 s
// test limit: 240 s
/**
 * The audit of source roots on this checkout, and on itself: each root, asset, reference, link or tracked file that is
 * taken away from a small checkout, or from the sources in the sandbox, has to be named.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkout } from '../cluster/photon-commands.ts';
import { whyNoBuilds, whyNoNix, type NixPlace } from './nix-place.ts';
import { auditPlace, buildSources, sourcesInStore, storeDifferences } from './source-build.ts';
import { SourceClosure } from './source-closure.ts';
import { listProblems, readRoots, trackedFiles, type SourcePackage, type SourceRoots } from './source-selection.ts';

const scratch = mkdtempSync(join(tmpdir(), 'photon-audit-'));
const places: NixPlace[] = [];
test.after(() => {
  for (const place of places) place.close();
  rmSync(scratch, { recursive: true, force: true });
});

const roots = readRoots(checkout);
const photoncloud = roots.packages['photoncloud'] as SourcePackage;

test('this checkout: every tracked file has its place, and what the program reaches is in its package', () => {
  const tracked = trackedFiles(checkout);
  assert.equal(listProblems(roots, tracked), []);
  const closure = new SourceClosure(checkout, 'photoncloud', photoncloud, tracked);
  assert.equal(closure.audit(), []);
  assert.ok(
    closure.reached.has('actors/dataplane/service-check/probe-main.ts'),
    'programs that are started are followed',
  );
  assert.ok(closure.reached.size > 300, `${closure.reached.size} modules`);
});

const small: Readonly<Record<string, string>> = {
  'package.json': '{ "workspaces": ["a", "b"] }',
  'tsconfig.base.json': '{}',
  'README.md': '',
  'tools/shared/package.json': '{ "name": "shared", "exports": { ".": "./shared.ts" } }',
  'tools/shared/shared.ts': 'export const shared = 1;\n',
  'a/package.json': '{ "name": "@x/a", "dependencies": { "@x/b": "1", "shared": "file:../tools/shared", "zod": "4" } }',
  'a/tsconfig.json': '{ "extends": "../tsconfig.base.json", "references": [{ "path": "../b" }] }',
  'a/start.ts': [
    "import { thing } from '@x/b/deep/thing';",
    "import { z } from 'zod';",
    "import { shared } from 'shared';",
    "export { part } from './part.ts';",
    "const text = join(import.meta.dirname, 'assets', 'text.txt');",
    "const later = import('./later.ts');",
    "const page = new URL('./page.html', import.meta.url);",
    'const made = join(import.meta.dirname, `${thing}.sql`);',
  ].join('\n'),
  'a/part.ts': 'export const part = 1;\n',
  'a/later.ts': 'export const later = 1;\n',
  'a/page.html': '',
  'a/assets/text.txt': '',
  'a/sql/one.sql': '',
  'ab/stray.ts': '',
  'b/package.json': '{ "name": "@x/b", "exports": { "./*": "./*.ts" } }',
  'b/tsconfig.json': '{}',
  'b/deep/thing.ts': 'export const thing = 1;\n',
};
const whole: SourceRoots = {
  packages: {
    x: {
      roots: ['a', 'b', 'package.json', 'tsconfig.base.json', 'tools/shared'],
      without: [],
      entries: ['a/start.ts'],
      assets: { 'a/start.ts': ['a/sql'] },
    },
  },
  unpackaged: { 'README.md': 'for people', ab: 'not used' },
};

interface Mutation {
  readonly remove?: string;
  readonly untrack?: string;
  readonly write?: readonly [string, string];
  readonly link?: readonly [string, string];
  readonly roots?: (given: {
    packages: { x: { roots: string[]; assets: Record<string, string[]> } };
    unpackaged: Record<string, string>;
  }) => void;
}

let count = 0;
/** What the audit says of the small checkout after a change. */
function findingsAfter({ remove, untrack, write, link, roots: change }: Mutation): string {
  count += 1;
  const top = join(scratch, String(count));
  const put = (path: string, text: string): void => {
    mkdirSync(dirname(join(top, path)), { recursive: true });
    writeFileSync(join(top, path), text);
  };
  for (const [path, text] of Object.entries(small)) put(path, text);
  if (write !== undefined) put(...write);
  if (link !== undefined) symlinkSync(link[0], join(top, link[1]));
  const git = (...argv: readonly string[]): void => void execFileSync('git', argv, { cwd: top, stdio: 'pipe' });
  git('init', '-q');
  git('add', '-A');
  if (untrack !== undefined) git('rm', '-q', '--cached', '-r', untrack);
  if (remove !== undefined) git('rm', '-q', '-r', '-f', remove);
  const list = structuredClone(whole);
  change?.(list as never);
  const tracked = trackedFiles(top);
  const x = list.packages['x'] as SourcePackage;
  return [...listProblems(list, tracked), ...new SourceClosure(top, 'x', x, tracked).audit()].join('\n');
}

const dropped = (root: string): Mutation => ({
  roots: ({ packages: { x } }) => void (x.roots = x.roots.filter((one) => one !== root)),
});
const mutations: readonly (readonly [string, Mutation, RegExp])[] = [
  [
    'a root is dropped whose module is imported',
    dropped('b'),
    /a\/start\.ts: imports b\/deep\/thing\.ts, which is below no root/,
  ],
  [
    'a root is dropped that a file: dependency needs',
    dropped('tools/shared'),
    /depends on shared in tools\/shared\/package\.json, which is below no root/,
  ],
  [
    'a root is dropped that a tsconfig extends',
    dropped('tsconfig.base.json'),
    /a\/tsconfig\.json: extends tsconfig\.base\.json, which is below/,
  ],
  [
    'a root is misspelt',
    { roots: ({ packages: { x } }) => void x.roots.push('bb') },
    /root bb of x has no tracked file/,
  ],
  [
    'the reference of a tsconfig is gone',
    { remove: 'b/tsconfig.json' },
    /a\/tsconfig\.json: references b\/tsconfig\.json, which does not exist/,
  ],
  [
    'an asset is gone',
    { remove: 'a/assets/text.txt' },
    /a\/start\.ts: reads a\/assets\/text\.txt, which does not exist/,
  ],
  ['a page is gone', { remove: 'a/page.html' }, /a\/start\.ts: reads a\/page\.html, which does not exist/],
  [
    'an asset is left out',
    { roots: ({ packages: { x } }) => void Object.assign(x, { without: ['.txt'] }) },
    /assets\/text\.txt, which is below no root/,
  ],
  [
    'an asset whose path is made is not declared',
    { roots: ({ packages: { x } }) => void (x.assets = {}) },
    /a\/start\.ts: makes the path of a file at run time/,
  ],
  ['a declared asset is gone', { remove: 'a/sql/one.sql' }, /a\/start\.ts: has the asset a\/sql, which does not exist/],
  [
    'assets are declared for what nothing reaches',
    { roots: ({ packages: { x } }) => void (x.assets['a/old.ts'] = ['a']) },
    /a\/old\.ts: has declared assets, and nothing/,
  ],
  ['a module is not tracked', { untrack: 'a/part.ts' }, /a\/start\.ts: imports a\/part\.ts, which git does not know/],
  [
    'a dynamically imported module is not tracked',
    { untrack: 'a/later.ts' },
    /imports a\/later\.ts, which git does not know/,
  ],
  ['an asset is not tracked', { untrack: 'a/assets/text.txt' }, /reads a\/assets\/text\.txt, which git does not know/],
  [
    'a root takes no neighbour with a longer name along',
    { write: ['a/part.ts', "import '../ab/stray.ts';\n"] },
    /a\/part\.ts: imports ab\/stray\.ts, which is below no root/,
  ],
  [
    'a package is not declared',
    { write: ['a/part.ts', "import 'execa';\n"] },
    /a\/part\.ts: imports execa, which a\/package\.json does not depend on/,
  ],
  [
    'what is imported is not exported',
    { write: ['a/part.ts', "import 'shared/deep';\n"] },
    /imports shared\/deep, which is not exported/,
  ],
  [
    'a workspace matches nothing',
    { write: ['package.json', '{ "workspaces": ["a", "c*"] }'] },
    /workspace c\* matches no folder/,
  ],
  [
    'a link leads out of the checkout',
    { link: ['/etc/hostname', 'a/host'] },
    /a\/host: is a link to .*, which is outside of the checkout/,
  ],
  ['a file has no place', { write: ['notes.txt', ''] }, /notes\.txt: is below no root/],
];

test('a small checkout has nothing to name', () => {
  assert.is(findingsAfter({}), '');
});

for (const [name, mutation, expected] of mutations) {
  test(`named: ${name}`, () => assert.match(findingsAfter(mutation), expected));
}

const [noNix, noBuilds] = [whyNoNix(), whyNoBuilds()];
if (noNix === undefined) {
  test('Nix takes the files that git has below the roots, and a difference is named on either side', () => {
    const nix = auditPlace();
    places.push(nix);
    const folder = sourcesInStore(nix, 'photoncloud');
    const tracked = trackedFiles(checkout);
    assert.equal(storeDifferences(folder, photoncloud, tracked), []);
    const other = [...tracked.filter((file) => file !== 'machines/vm/vm-machine.ts'), 'actors/not-there.ts'];
    assert.equal(storeDifferences(folder, photoncloud, other), [
      'actors/not-there.ts: git has it below a root, the store has not',
      'machines/vm/vm-machine.ts: the store has it, git has not, below a root',
    ]);
  });
} else test.skip(`NOT RUN, lane 1 (the files that Nix takes of a package): ${noNix}`);

if (noBuilds === undefined) {
  test('the sources of the package run in a sandbox without this checkout; without a script they do not', () => {
    const nix = auditPlace();
    places.push(nix);
    const folder = sourcesInStore(nix, 'photoncloud');
    const { isBuilt, log } = buildSources(nix, folder);
    assert.ok(isBuilt, log);
    assert.match(log, /\d+ modules, 0 failed/);
    const without = buildSources(nix, folder, 'rm runtime/journal/scripts/tick.lua');
    assert.not.ok(without.isBuilt);
    assert.match(without.log, /ENOENT.*scripts\/tick\.lua/);
  });
} else test.skip(`NOT RUN, lane 2 (the sources of the package run in a sandbox): ${noBuilds}`);

test.run();
