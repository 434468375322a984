import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BeatObserver } from './beat-observer.ts';

test('silence is told once, and its end', () => {
  const observer = new BeatObserver(2_000, 1_500);
  const look = (nowMs: number, a: string) => observer.look(nowMs, { a, b: String(nowMs) });
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

test('who did not look does not accuse', () => {
  const observer = new BeatObserver(2_000, 1_500);
  observer.look(0, { a: '1' });
  observer.look(1_000, { a: '1' });
  assert.equal(observer.look(60_000, { a: '1' }).silent, [], 'we were blind for 59 s');
  assert.equal(observer.look(61_000, { a: '1' }).silent, []);
  assert.equal(observer.look(62_000, { a: '1' }).silent, ['a']);
});

test('nobody knows a node without a beat', () => {
  const observer = new BeatObserver(2_000, 1_500);
  observer.look(0, { a: '1' });
  assert.not.ok(observer.isAlive('b'));
  observer.look(500, {});
  assert.not.ok(observer.isAlive('a'), 'it has left');
});

test.run();
