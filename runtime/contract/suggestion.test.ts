import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { closest, suggestion } from './suggestion.ts';

const kinds = ['vm', 'vpc', 'volume', 'network', 'image', 'image-copy'];

test('a slip is recognized: a letter too many, missing, wrong or swapped, and capitals', () => {
  const slips = { vms: 'vm', newtork: 'network', volme: 'volume', imagee: 'image', VM: 'vm', vcp: 'vpc' };
  for (const [typed, meant] of Object.entries(slips)) assert.is(closest(typed, kinds), meant, typed);
});

test('another word is no slip: all words are named instead', () => {
  assert.is(closest('router', kinds), undefined);
  assert.is(closest('x'.repeat(10_000), kinds), undefined);
  assert.is(suggestion('router', ['vm', 'vpc', 'vm']), 'there are: vm, vpc');
  assert.is(suggestion('vms', kinds), 'did you mean vm?');
});

test.run();
