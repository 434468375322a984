/** The `limits` section of node.json, and docs/limits.md, which lists all limits. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { quotaSchema } from '@photoncloud/machines/tenant/tenant-protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fileThreads, limitDefaults, limitsSchema } from './node-limits.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/limits.md'), 'utf8');

test('the page names every limit with its default, and no other', () => {
  const listed = [...page.matchAll(/`((?:host|peer|beats|api|journal|store)\.\w+)` (\d+)/g)].map(
    ([, name, value]) => `${name} ${value}`,
  );
  const real = Object.entries(limitDefaults).flatMap(([group, limits]) =>
    Object.entries(limits).map(([name, value]) => `${group}.${name} ${value}`),
  );
  assert.equal(listed.toSorted(), real.toSorted());
});

test('the page names the quota of a tenant with its defaults', () => {
  const listed = [...page.matchAll(/^\| [^|]+ \| `([\w-]+)` (\d+) \| the /gm)].map(([, name, value]) => [
    name,
    Number(value),
  ]);
  assert.equal(Object.fromEntries(listed), quotaSchema.parse({}));
});

test('single limits may be set; an unknown name or an invalid value is refused', () => {
  const set = { host: { mailboxDepth: 512 }, api: { maxSessions: 10 }, beats: { beatMs: 600 } };
  assert.equal(limitsSchema.parse(set), set);
  for (const wrong of [
    { host: { mailboxdepth: 1 } },
    { peer: { maxInFlight: 0 } },
    { api: { slowMs: 1.5 } },
    { x: {} },
    { beats: { beatMs: 1_000 } },
  ]) {
    const parsed = limitsSchema.safeParse(wrong);
    assert.not.ok(parsed.success, JSON.stringify(wrong));
  }
});

test('copies of images and volumes that hang leave threads for other files', () => {
  const pools = 2;
  assert.ok(fileThreads >= pools * limitDefaults.host.pooledEffects + 8);
});

test.run();
