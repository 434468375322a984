/** The hand-written checks compared with the schemas that they stand in for. */
import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { z } from 'zod';
import { delivery, requestFrame, responseFrame } from './peer-frames.ts';
import { isApplied, isFastRequests, isFastResponses } from './fast-entries.ts';

const absent = Array.from({ length: 6 }, () => undefined);
const ids = fc.constantFrom('vm/acme/a', 'vm/acme/a', 'tap/acme/a@w1', 'vm/acme', 'vm/Acme/a', '', 7, undefined);
const counts = fc.constantFrom(0, 1, 2 ** 53 - 1, 2, -1, 1.5, 2 ** 53, '1', undefined);
const textsTo = (most: number): fc.Arbitrary<unknown> =>
  fc.constantFrom('', 'text', 't'.repeat(most), 'more', 't'.repeat(most + 1), 7, null, undefined);
const events = fc.constantFrom<unknown[]>(
  { type: 'a', b: [1] },
  { type: 't'.repeat(200) },
  { type: 't'.repeat(201) },
  {},
  { type: 1 },
  [],
  null,
  'text',
  JSON.parse('{"type":"a","__proto__":{"b":1}}'),
);
const shared = {
  to: ids,
  event: events,
  more: fc.constantFrom(1, ...absent),
  durability: fc.constantFrom('x', ...absent),
};
const trace = fc.constantFrom<unknown[]>('trace', 't'.repeat(129), 7, null, ...absent);
const message = fc.record({
  ...shared,
  from: ids,
  senderUid: textsTo(64),
  era: counts,
  seq: counts,
  after: counts,
  cause: textsTo(400),
  trace,
});
const command = fc.record({
  ...shared,
  commandId: textsTo(400),
  digest: textsTo(128),
  principal: textsTo(200),
  ifVersion: fc.constantFrom(1, ...absent),
  trace,
});
/** Valid entries with a few random faults: entries of random fields would hardly ever be valid. */
const mended = (body: object, good: Record<string, unknown>, bad: readonly string[]): object =>
  Object.fromEntries(Object.entries(body).map(([field, given]) => [field, bad.includes(field) ? given : good[field]]));
const event = { type: 'a', b: 1 };
const goodMessage = { to: 'vm/acme/a', from: 'vm/acme/b', senderUid: 'L', era: 1, seq: 2, after: 0, event, cause: 'c' };
const goodCommand = { to: 'vm/acme/a', commandId: 'i', digest: 'd', principal: 'p', event };
const fields = [...Object.keys({ ...goodMessage, ...goodCommand }), 'trace', 'more', 'durability', 'ifVersion'];
const bodies = fc
  .tuple(fc.oneof(message, command), fc.subarray(fields, { maxLength: 2 }))
  .map(([body, bad]) => mended(body, 'seq' in body ? goodMessage : goodCommand, bad));
const odd = fc.constantFrom(
  ...['m', 'c', 'r', 'e', 1].map((kind) => [kind, 7, {}]),
  ['m', 1],
  ['c', 1, goodCommand, 2],
);
const numbers = fc.constantFrom(1, 2, 3, 4, 5, 6, 0, -1, 1.5, '1');
const entries = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.constantFrom('m', 'c', 'r'), numbers, bodies) },
  { weight: 1, arbitrary: odd },
);
const frames = fc.oneof(
  { weight: 9, arbitrary: fc.array(entries, { maxLength: 2 }) },
  { weight: 1, arbitrary: fc.constantFrom({}, null, 'text') },
);
const answers = fc.constantFrom<unknown[]>(
  { result: 'applied' },
  { result: 'applied', more: 1 },
  { result: 'gap' },
  { result: 'busy' },
  ['applied'],
  null,
);

function hold(given: fc.Arbitrary<unknown>, isUsual: (value: unknown) => boolean, schema: z.ZodType): void {
  let usual = 0;
  fc.assert(
    fc.property(given, (value) => {
      const sent: unknown = JSON.parse(JSON.stringify(value));
      if (!isUsual(sent)) return;
      usual += 1;
      assert.ok(isDeepStrictEqual(schema.parse(sent), sent), JSON.stringify(sent));
    }),
    { numRuns: 20_000 },
  );
  assert.ok(usual > 100, `only ${usual} were recognised`);
}

test('requests that pass the fast check are accepted unchanged by the schema', () => {
  hold(frames, isFastRequests, requestFrame);
});

test('responses that pass the fast check are accepted unchanged by the schema', () => {
  hold(frames, isFastResponses, responseFrame);
  hold(answers, isApplied, delivery);
});

test('common requests and responses pass the fast check', () => {
  const traced = { ...goodMessage, trace: 't' };
  assert.ok(
    isFastRequests([
      ['m', 1, goodMessage],
      ['m', 2, traced],
      ['c', 3, { ...goodCommand, trace: 't' }],
    ]),
  );
  assert.ok(
    isFastResponses([
      ['r', 1, { result: 'applied' }],
      ['r', 2, { ok: true, version: 1, result: null }],
    ]),
  );
  assert.ok(isApplied({ result: 'applied' }));
});

test.run();
