import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { actorId, type ShardId } from '../contract/identifiers.ts';
import { allScripts, libraryDigest, scriptVersion } from './script-library.ts';
import { shardCount, shardOf, sharedShards, slotOfTag } from './shard-placement.ts';
import { keyCommands, keylessCommands } from './store-rights.ts';

/** A changed script needs a new version: add a line here, and raise `scriptVersion`. Never change an old line. */
const digests: Readonly<Record<number, string>> = {
  1: '07b743b77ec63ea6',
  2: '67ae02248c48fde8',
  3: '9585b660b67eaccc',
  4: 'a805d84a9f45c53c',
  5: '8cdd1fa1e60f47ac',
  6: '52ebbdd98f362a4e',
  7: 'cf3b94d81711803b',
};

test('scriptVersion belongs to the digest of the scripts', () => {
  assert.is(libraryDigest, digests[scriptVersion]);
});

test('every command of a script is among those whose right is checked at the start', () => {
  const named = allScripts.flatMap(({ source }) => [...source.matchAll(/call\('([A-Z]+)'|'(S[A-Z]+)'/g)]);
  const missing = named
    .map(([, called, chosen]) => called ?? chosen ?? '')
    .filter((name) => !keyCommands.includes(name) && !keylessCommands.includes(name));
  assert.ok(named.length > 30);
  assert.equal(missing, []);
});

test('slotOfTag computes the slots of Redis Cluster', () => {
  assert.is(slotOfTag('123456789'), 0x31c3);
  assert.is(new Set(sharedShards.map(slotOfTag)).size, shardCount);
});

test('shardOf never changes for an id, spreads ids evenly, and puts pinned actors into the shard of their host', () => {
  assert.is(shardOf(actorId('vm/acme/web-1')), 's12');
  assert.is(shardOf(actorId('binding/acme/web-1.eth0@w1')), 'host:w1');
  const counts = new Map<ShardId, number>();
  for (let index = 0; index < 12_800; index += 1) {
    const shard = shardOf(actorId(`port/acme/web-${index}.eth0`));
    counts.set(shard, (counts.get(shard) ?? 0) + 1);
  }
  assert.is(counts.size, shardCount);
  assert.ok(Math.max(...counts.values()) < 150, `100 on average, ${Math.max(...counts.values())} at most`);
});

test.run();
