/** The generated documents are up to date, and the schemas refuse unknown fields. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { z } from 'zod';
import { startTestApi } from './api-for-tests.ts';
import { defaultApiLimits, toldLimitsOf } from './api-limits.ts';
import { RawClient } from './raw-client-for-tests.ts';
import { testRegistry } from './store-for-tests.ts';
import { wireRules } from './wire-rules.ts';
import { issuesOf } from './api-problem.ts';
import { apiMethods, requestFrame } from './api-schema.ts';
import { schemaBundle, schemaHash } from './schema-documents.ts';
import { schemaDrift, schemaTexts } from './schema-files.ts';

test('api.schema.json, asyncapi.json and api-methods.md are up to date', () => {
  assert.equal(schemaDrift(), [], 'run: node runtime/control-api/schema-main.ts');
});

test('every $ref in the documents resolves', () => {
  for (const [name, text] of schemaTexts()) {
    if (!name.endsWith('.json')) continue;
    const document = JSON.parse(text) as Record<string, unknown>;
    for (const [, path] of text.matchAll(/"\$ref": "#\/([^"]*)"/g)) {
      const found = (path as string)
        .split('/')
        .reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], document);
      assert.ok(found !== undefined, `${name}: ${path}`);
    }
  }
});

test('params of every method refuse unknown fields', () => {
  for (const [name, { params }] of Object.entries(apiMethods)) {
    const parsed = (params as z.ZodType).safeParse({ surely: 'not a field' });
    assert.not.ok(parsed.success, name);
    assert.ok(
      issuesOf(parsed.error as z.ZodError).some(({ path }) => path === 'surely'),
      name,
    );
  }
});

test('with a registry the bundle contains its commands, and the hash differs by registry', () => {
  const bundle = schemaBundle(testRegistry) as { methods: Record<string, { params: unknown }> };
  assert.match(JSON.stringify(bundle.methods['box.create']?.params), '"size"');
  assert.is.not(schemaHash(bundle), schemaHash(schemaBundle()));
  assert.is(schemaHash(bundle), schemaHash(schemaBundle(testRegistry)));
});

test('issues have dotted paths; a union reports the branch with the fewest issues', () => {
  const schema = z.strictObject({
    disks: z.array(
      z.union([z.strictObject({ volume: z.string() }), z.strictObject({ image: z.string(), sizeMib: z.number() })]),
    ),
  });
  const paths = (value: unknown): string[] =>
    issuesOf(schema.safeParse(value).error as z.ZodError).map(({ path }) => path);
  assert.equal(paths({ disks: [{ volume: 1 }] }), ['disks.0.volume']);
  assert.equal(paths({ disks: [{ image: 'a', sizeMib: 1, colour: 'red' }] }), ['disks.0.colour']);
  assert.equal(paths({ disks: [], colour: 'red' }), ['colour']);
});

test('the envelope accepts only numbers and strings as ids', () => {
  const frame = { jsonrpc: '2.0', method: 'ping' };
  for (const id of [0, 7, 'a']) assert.ok(requestFrame.safeParse({ ...frame, id }).success);
  for (const id of [null, -1, 1.5, '', {}, 'x'.repeat(65)])
    assert.not.ok(requestFrame.safeParse({ ...frame, id }).success);
});

test('hello and the schema tell the limits in force at this node', async () => {
  const api = await startTestApi({ limits: { maxWatchIds: 3, readsPerS: 77 } });
  const client = await new RawClient(api.url).open('ann-token');
  try {
    const { limits } = client.frames[0]?.['params'] as { limits: Record<string, number> };
    assert.equal(limits, { ...toldLimitsOf(defaultApiLimits), maxWatchIds: 3, readsPerS: 77 });
    const bundle = (await client.call('rpc.discover')) as { limits: object; methods: Record<string, unknown> };
    assert.equal(bundle.limits, limits);
    const open = bundle.methods['watch.open'] as { params: { properties: { ids: { maxItems: number } } } };
    assert.is(open.params.properties.ids.maxItems, 3);
    const ids = ['box/acme/a', 'box/acme/b', 'box/acme/c', 'box/acme/d'];
    assert.is((await client.refusal('watch.open', { ids })).type, 'urn:photon:error:too_many_ids');
    await client.call('watch.open', { ids: ids.slice(1) });
  } finally {
    await client.close();
    await api.stop();
  }
});

test('the rules of the schema list every error and close code that this folder can answer with', () => {
  const sources = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.ts') && !/test/.test(name));
  const text = sources.map((name) => readFileSync(join(import.meta.dirname, name), 'utf8')).join('\n');
  const rejected = [...text.matchAll(/\breject\(\s*'(\w+)'|PhotonError\(\s*'rejection',\s*'(\w+)'/g)];
  const codes = new Set(rejected.map(([, one, other]) => one ?? other ?? ''));
  assert.ok(codes.size > 10);
  for (const code of codes) assert.ok(Object.hasOwn(wireRules.errors, code), code);
  const closed = new Set([...text.matchAll(/lose(?:Soon)?\((\d{4}),/g)].map(([, code]) => Number(code)));
  assert.ok(closed.size > 3);
  for (const code of closed) assert.ok(Object.hasOwn(wireRules.closeCodes, code), String(code));
});

test.run();
