/** The hand-written checks of requests and commands, compared with the schemas; the limits of a frame. */
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { commandEnvelope, requestFrame } from './api-schema.ts';
import { isEnvelope } from './command-methods.ts';
import { readFrame } from './frame-reader.ts';

const limits = { maxDepth: 4, maxKeys: 12 };
const trace = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;

/** Valid and invalid values of each field, undefined for absent fields, and an unknown field. */
const requests = fc.record({
  jsonrpc: fc.constantFrom('2.0', '2.0', '2.0', '1.0', 2, undefined),
  id: fc.constantFrom(7, 'seven'),
  method: fc.constantFrom('ping', 'ping', 'x'.repeat(100), 'x'.repeat(101), '', 7, undefined),
  params: fc.constantFrom({}, { a: [1] }, [], null, 'text', undefined),
  traceparent: fc.constantFrom(trace, `${trace}0`, 7, null, undefined),
  more: fc.constantFrom(1, ...Array.from({ length: 7 }, () => undefined)),
});

const envelopes = fc.record({
  scope: fc.constantFrom('acme', 'acme', 'Acme', 'acme-', '', 7, null, undefined),
  name: fc.constantFrom('web-1', 'web-1', '', 'n'.repeat(130), 'n'.repeat(131), 7, undefined),
  idempotencyKey: fc.constantFrom('k', 'k', 'k'.repeat(128), 'k'.repeat(129), 'a b', '', 7, undefined),
  ifVersion: fc.constantFrom(1, -1, ...Array.from({ length: 8 }, () => undefined)),
  params: fc.constantFrom({ a: 1 }, null, undefined),
  more: fc.constantFrom(1, ...Array.from({ length: 7 }, () => undefined)),
});

const overTheWire = (value: object): object => JSON.parse(JSON.stringify(value)) as object;

test('a request is accepted exactly when the schema accepts it', () => {
  let taken = 0;
  fc.assert(
    fc.property(requests, (given) => {
      const parsed = requestFrame.safeParse(overTheWire(given));
      const [reading, ...rest] = readFrame(JSON.stringify(given), limits);
      assert.is(rest.length, 0);
      assert.is(reading?.result, parsed.success ? 'request' : 'refused', JSON.stringify(given));
      if (reading?.result !== 'request') return;
      taken += 1;
      assert.equal(reading.request, parsed.data);
    }),
    { numRuns: 2_000 },
  );
  assert.ok(taken > 50, `only ${taken} were accepted`);
});

test('the schema accepts every envelope that the hand-written check accepts, and does not change it', () => {
  let taken = 0;
  fc.assert(
    fc.property(envelopes, (given) => {
      const sent = overTheWire(given);
      if (!isEnvelope(sent)) return;
      taken += 1;
      assert.equal(commandEnvelope.parse(sent), sent);
    }),
    { numRuns: 5_000 },
  );
  assert.ok(taken > 20, `only ${taken} were accepted`);
});

test('depth and count are limited per request, also within a batch', () => {
  const asking = (params: object): object => ({ jsonrpc: '2.0', id: 1, method: 'ping', params });
  const resultsOf = (frame: unknown): string[] =>
    readFrame(JSON.stringify(frame), limits).map((reading) => ('why' in reading ? reading.why : reading.result));
  // The envelope has four keys of the twelve and the first of the four levels.
  const full = asking({ a: [1, 2, 3, 4, 5, 6, 7] });
  assert.equal(resultsOf(full), ['request']);
  assert.equal(resultsOf(asking({ a: [1, 2, 3, 4, 5, 6, 7, 8] })), ['more than 12 keys and elements']);
  assert.equal(resultsOf(asking({ a: [1], b: { c: 1, d: [1, 2, 3] } })), ['request']);
  assert.equal(resultsOf(asking({ a: [1], b: { c: 1, d: [1, 2, 3, 4] } })), ['more than 12 keys and elements']);
  assert.equal(resultsOf(asking({ a: { b: {} } })), ['request']);
  assert.equal(resultsOf(asking({ a: { b: [[]] } })), ['deeper than 4 levels']);
  assert.equal(resultsOf(asking({ a: [0, [[[]]]] })), ['deeper than 4 levels']);
  assert.equal(resultsOf([full, asking({ a: { b: [[]] } }), full]), ['request', 'deeper than 4 levels', 'request']);
});

test('a batch with a request that cannot be answered is malformed as a whole', () => {
  const good = '{"jsonrpc":"2.0","id":1,"method":"ping"}';
  const whyOf = (text: string): string[] =>
    readFrame(text, limits).map((reading) => ('why' in reading ? reading.why : reading.result));
  assert.equal(whyOf(`[${good},${good}]`), ['request', 'request']);
  assert.equal(whyOf('[]'), ['a batch without a request']);
  assert.equal(whyOf(`[${good},{"jsonrpc":"2.0","method":"ping"}]`), ['no usable id']);
  assert.equal(whyOf(`[${good},7]`), ['not a JSON-RPC request']);
  assert.equal(whyOf(`[[${good}]]`), ['not a JSON-RPC request']);
  assert.equal(whyOf(`[${good}`), ['not JSON']);
});

test.run();
