import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startCluster, startReplicated, startSentinelBoxes } from './redis-topologies-for-tests.ts';

test('a replica acknowledges what its primary has', async () => {
  const store = await startReplicated();
  try {
    await store.primary.ask('SET', 'x', '1');
    assert.is(await store.primary.ask('WAIT', '1', '2000'), 1);
    assert.is(await store.replica.ask('GET', 'x'), '1');
  } finally {
    await store.remove();
  }
});

test('three boxes elect a new primary, and the killed one rejoins', async () => {
  const store = await startSentinelBoxes();
  try {
    await (await store.primary()).ask('SET', 'x', '1');
    const { killed, promoted } = await store.failOver();
    assert.is(await promoted.ask('GET', 'x'), '1');
    await store.rejoin(killed);
    assert.is(await killed.ask('GET', 'x'), '1');
  } finally {
    await store.remove();
  }
});

test('a slot of a cluster is moved with its keys', async () => {
  const store = await startCluster();
  try {
    const slot = Number(await store.nodes[0]?.ask('CLUSTER', 'KEYSLOT', 'x'));
    const owner = await store.ownerOf(slot);
    await owner.ask('SET', 'x', '1');
    const other = store.nodes.find((node) => node !== owner) ?? owner;
    await store.moveSlot(slot, other);
    assert.is((await store.ownerOf(slot)).listenPort, other.listenPort);
    assert.is(await other.ask('GET', 'x'), '1');
  } finally {
    await store.remove();
  }
});

test.run();
