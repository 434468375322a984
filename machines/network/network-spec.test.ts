/** What a declaration of subnets is refused for, in words that fit the case. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { problemsOf } from './network-spec.ts';

test('a CIDR that is declared twice is called so, and one that only shares addresses overlaps', () => {
  const messages = (second: string): string[] => {
    const subnets = [{ cidr: '10.0.0.0/24' }, { cidr: second, name: 'b' }];
    return problemsOf({ subnets: subnets as never }).map(({ message }) => message);
  };
  assert.equal(messages('10.0.0.0/24'), ['10.0.0.0/24 is already the CIDR of subnet 0']);
  assert.equal(messages('10.0.0.128/25'), ['10.0.0.128/25 overlaps 10.0.0.0/24 of subnet 0']);
});

test.run();
