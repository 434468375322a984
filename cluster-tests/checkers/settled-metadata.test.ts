/** The checker of metadata finds a network too many, one too few, and nothing else. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import { wrongMetadata } from './settled-metadata.ts';

const actor = (context: object): StoredActor => ({ context }) as StoredActor;
const live = new Map([
  ['vpc/t/main', actor({ segments: { w1: { networks: { 'network/t/a': 1, 'network/t/b': 1 } } } })],
  ['network/t/a', actor({ spec: { metadata: true } })],
  ['network/t/b', actor({ spec: { metadata: false } })],
]);
const found = (...networks: string[]) => {
  const elements = new Map([['metadata', new Map(networks.map((name) => [name, {}]))]]);
  return wrongMetadata(live, [{ host: 'w1', segments: [{ vpc: 'vpc/t/main', owner: '', elements }] }]).length;
};

test('hosts serve metadata to the networks that declare it', () => {
  assert.is(found('network/t/a'), 0);
  assert.is(found(), 1);
  assert.is(found('network/t/a', 'network/t/b'), 1);
});

test.run();
