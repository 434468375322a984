import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { EffectPlaces } from './effect-places.ts';

/** Claims places by name, and notes who got one. */
class Crowd {
  readonly got: string[] = [];
  readonly places: EffectPlaces;

  constructor(size: number) {
    this.places = new EffectPlaces(size);
  }

  claim(scope: string, count = 1, first = false): () => void {
    let withdraw = (): void => {};
    for (let at = 0; at < count; at += 1) withdraw = this.places.claim(scope, () => this.got.push(scope), first);
    return withdraw;
  }

  has(scope: string): number {
    return this.got.filter((one) => one === scope).length;
  }
}

test('one scope gets half of the places, two three quarters, and a third finds one free', () => {
  const crowd = new Crowd(16);
  crowd.claim('a', 100);
  crowd.claim('b', 100);
  crowd.claim('c');
  assert.equal([crowd.has('a'), crowd.has('b'), crowd.has('c')], [8, 4, 1]);
  assert.equal([crowd.places.taken, crowd.places.waiting, crowd.places.longestWait], [13, 188, 96]);
});

test('a single place is given, too, and every size leaves none idle for ever', () => {
  for (const size of [1, 2, 3, 5]) {
    const crowd = new Crowd(size);
    crowd.claim('a', 20);
    for (let done = 1; done < 20; done += 1) {
      assert.ok(crowd.has('a') >= done, `size ${size}, after ${done - 1}`);
      crowd.places.release('a');
    }
    assert.is(crowd.has('a'), 20);
  }
});

test('scopes take turns, however many claims one of them has', () => {
  const crowd = new Crowd(1);
  crowd.claim('a', 50);
  crowd.claim('b', 2);
  crowd.claim('c', 1);
  for (const scope of ['a', 'b', 'c', 'a', 'b']) {
    assert.is(crowd.got.at(-1), scope);
    crowd.places.release(scope);
  }
  assert.equal(crowd.got.slice(5), ['a']);
});

test('a place that is given back goes to the scope that holds the fewest', () => {
  const crowd = new Crowd(4);
  crowd.claim('a', 9);
  crowd.claim('b', 9);
  assert.equal([crowd.has('a'), crowd.has('b')], [2, 1]);
  crowd.places.release('b');
  assert.equal([crowd.has('a'), crowd.has('b')], [2, 2]);
});

test('a claim that is first stands before its own scope only, and one that is withdrawn gets nothing', () => {
  const places = new EffectPlaces(1);
  const got: string[] = [];
  const claim = (name: string, scope: string, first = false): (() => void) =>
    places.claim(scope, () => got.push(name), first);
  claim('a1', 'a');
  claim('a2', 'a');
  claim('b1', 'b');
  claim('again', 'a', true);
  const withdraw = claim('a3', 'a');
  withdraw();
  withdraw();
  for (const scope of ['a', 'b', 'a', 'a']) places.release(scope);
  assert.equal(got, ['a1', 'b1', 'again', 'a2']);
  assert.equal([places.taken, places.waiting], [0, 0]);
});

test.run();
