import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BeatObserver, type LookTime } from './beat-observer.ts';

const at = (nowMs: number): LookTime => ({ askedMs: nowMs, answeredMs: nowMs });

test('silence is reported once, and so is its end', () => {
  const observer = new BeatObserver(2_000, 1_500);
  const look = (nowMs: number, a: string) => observer.look(at(nowMs), { a, b: String(nowMs) });
  assert.equal(look(0, '1'), { silent: [], back: [] });
  for (const nowMs of [500, 1_000, 1_500]) assert.equal(look(nowMs, '1'), { silent: [], back: [] });
  assert.ok(observer.isAlive('a'));
  assert.equal(look(2_000, '1'), { silent: ['a'], back: [] });
  assert.not.ok(observer.isAlive('a'));
  assert.ok(observer.isAlive('b'));
  assert.equal(look(2_500, '1'), { silent: [], back: [] });
  assert.equal(look(3_000, '2'), { silent: [], back: ['a'] });
  assert.ok(observer.isAlive('a'));
});

test('after a gap in its own reads a node takes no other for silent', () => {
  const observer = new BeatObserver(2_000, 1_500);
  observer.look(at(0), { a: '1' });
  observer.look(at(1_000), { a: '1' });
  assert.equal(observer.look(at(60_000), { a: '1' }).silent, [], 'we were blind for 59 s');
  assert.equal(observer.look(at(61_000), { a: '1' }).silent, []);
  assert.equal(observer.look(at(62_000), { a: '1' }).silent, ['a']);
});

test('a node whose event loop was blocked between question and answer takes no other for silent', () => {
  const observer = new BeatObserver(2_000, 1_500);
  const slow = (askedMs: number, answeredMs: number) => observer.look({ askedMs, answeredMs }, { a: '1' });
  slow(0, 0);
  for (const askedMs of [10, 1_420, 2_830, 4_240]) {
    assert.equal(slow(askedMs, askedMs + 1_400).silent, [], 'the counter was read early, the answer came late');
  }
  assert.equal(slow(6_000, 6_000).silent, []);
  assert.equal(slow(7_400, 7_400).silent, []);
  assert.equal(slow(7_700, 7_700).silent, ['a'], 'in the end it has stood still for 2 s between looks');
});

test('a node is steady after two seen beats', () => {
  const observer = new BeatObserver(2_000, 1_500);
  for (const [counter, steady] of [
    ['1', false],
    ['2', false],
    ['3', true],
    ['4', true],
  ] as const) {
    observer.look(at(Number(counter) * 500), { a: counter });
    assert.is(observer.isSteady('a'), steady);
  }
  for (const nowMs of [2_500, 3_000, 3_500, 4_000]) observer.look(at(nowMs), { a: '4' });
  assert.not.ok(observer.isSteady('a'));
  observer.look(at(4_500), { a: '5' });
  assert.not.ok(observer.isSteady('a'), 'back, but only just');
});

test('a node without a counter is neither alive nor silent', () => {
  const observer = new BeatObserver(2_000, 1_500);
  observer.look(at(0), { a: '1' });
  assert.not.ok(observer.isAlive('b'));
  observer.look(at(500), {});
  assert.not.ok(observer.isAlive('a'), 'its counter was removed');
});

test.run();
