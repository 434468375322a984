/** Serials are what a guest knows a disk by: their form, their constancy, and that no two disks share one. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { serialOf } from './serials.ts';

const crockford = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** Like ULIDs made within a few seconds: a shared beginning, a counted end. */
function uidOf(count: number): string {
  let uid = '';
  for (let rest = count, digit = 0; digit < 10; digit += 1, rest = Math.floor(rest / 32))
    uid = `${crockford[rest % 32]}${uid}`;
  return `01JD8Z3K9Q5M7R2T${uid}`;
}

test('a serial is 20 base32 characters', () => {
  for (const uid of ['', 'U1', uidOf(0), uidOf(99_999), 'ü'.repeat(50)])
    assert.match(serialOf(uid), /^[a-z2-7]{20}$/, uid);
});

test('the same uid has the same serial for ever', () => {
  assert.is(serialOf(uidOf(7)), serialOf(uidOf(7)));
  assert.is(serialOf('01JD8Z3K9Q5M7R2T0000000007'), '652cbvisy73ig44tps3g');
});

test('100,000 uids that differ in their last characters have as many serials', () => {
  const serials = new Set(Array.from({ length: 100_000 }, (_, count) => serialOf(uidOf(count))));
  assert.is(serials.size, 100_000);
});

test.run();
