import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ReplicaWatch } from './replica-watch.ts';

interface Stage {
  nowMs: number;
  /** Server -> the role it reports; a server without an entry is off. */
  roles: Map<string, string>;
  /** Server -> its own replication id and the one it followed; without an entry it reports neither. */
  replicationIds: Map<string, readonly [replicationId: string, formerReplicationId: string]>;
  asked: string[];
  watch: ReplicaWatch;
}

const test = suite<Stage>('replica watch');

test.before.each((stage) => {
  stage.nowMs = 0;
  stage.roles = new Map();
  stage.replicationIds = new Map();
  stage.asked = [];
  stage.watch = new ReplicaWatch('ours', {
    clock: { wallMs: () => stage.nowMs, monotonicMs: () => stage.nowMs, after: () => () => undefined },
    least: 1,
    replicationRoleOf: async (name) => {
      stage.asked.push(name);
      const role = stage.roles.get(name);
      const [replicationId, formerReplicationId] = stage.replicationIds.get(name) ?? [];
      return role === undefined ? undefined : { role, replicationId, formerReplicationId };
    },
  });
});

const followedBy = (...names: readonly string[]): unknown => [
  'master',
  100,
  names.map((name) => [...name.split(':'), '100']),
];

async function thrownBy(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => '',
    (error: Error) => error.message,
  );
}

test('all followers are waited for, and at least the configured number', async ({ watch }) => {
  assert.is(watch.wanted(), 1);
  assert.is(await watch.coversAllFollowers(followedBy('a:1', 'b:1'), 1), false, 'more follow than acknowledged');
  assert.is(watch.wanted(), 2);
  assert.is(await watch.coversAllFollowers(followedBy('a:1', 'b:1'), 2), true);
});

test('a replica that left and is a primary now stops commits while it reports that', async (stage) => {
  const { watch, roles } = stage;
  await watch.coversAllFollowers(followedBy('a:1', 'b:1'), 2);
  roles.set('a:1', 'master');
  for (let turn = 0; turn < 2; turn += 1) {
    assert.match(await thrownBy(watch.coversAllFollowers(followedBy('b:1'), 1)), /^DEPOSED a:1 /);
  }
  roles.set('a:1', 'slave');
  assert.is(await watch.coversAllFollowers(followedBy('b:1'), 1), true);
});

test('a replica that followed at a connect is asked even if no commit has waited for it', async (stage) => {
  const { watch, roles } = stage;
  watch.noteFollowers(['a:1', 'b:1']);
  roles.set('a:1', 'master');
  assert.match(await thrownBy(watch.coversAllFollowers(followedBy('b:1'), 1)), /^DEPOSED a:1 /);
});

test('a box promoted before the first connect is recognised by the replication id that it followed', async (stage) => {
  const { watch, roles, replicationIds } = stage;
  watch.noteFollowers(['b:1'], ['self:1', 'a:1', 'b:1']);
  roles.set('self:1', 'master').set('a:1', 'master');
  replicationIds.set('self:1', ['ours', 'before']).set('a:1', ['theirs', 'ours']);
  assert.match(await thrownBy(watch.coversAllFollowers(followedBy('b:1'), 1)), /^DEPOSED a:1 /);
});

test('neither this primary itself nor the one that it has replaced stops commits', async (stage) => {
  const { watch, roles, replicationIds, asked } = stage;
  watch.noteFollowers(['b:1'], ['self:1', 'before:1', 'b:1', 'off:1']);
  roles.set('self:1', 'master').set('before:1', 'master');
  replicationIds.set('self:1', ['ours', 'before']).set('before:1', ['before', 'long ago']);
  assert.is(await watch.coversAllFollowers(followedBy('b:1'), 1), true);
  stage.nowMs += 100;
  assert.is(await watch.coversAllFollowers(followedBy('b:1'), 1), true);
  assert.equal(asked, ['self:1', 'before:1', 'off:1', 'off:1', 'before:1']);
  // The old primary has become a replica, and is promoted again.
  watch.noteFollowers(['before:1']);
  replicationIds.set('before:1', ['theirs', 'ours']);
  assert.match(await thrownBy(watch.coversAllFollowers(followedBy('b:1'), 1)), /^DEPOSED before:1 /);
});

test('a box that reports no replication id and was never seen to follow stops no commit', async (stage) => {
  const { watch, roles } = stage;
  watch.noteFollowers([], ['a:1']);
  roles.set('a:1', 'master');
  assert.is(await watch.coversAllFollowers(followedBy(), 1), true);
});

test('a primary that was demoted since the WAIT was answered is READONLY, not a malformed answer', async ({
  watch,
}) => {
  const role = ['slave', 'a', 6379, 'connected', 100];
  assert.match(await thrownBy(watch.coversAllFollowers(role, 1)), /^READONLY /);
});

test('a box whose answer is lost is asked a second time', async (stage) => {
  const { watch, roles, asked } = stage;
  await watch.coversAllFollowers(followedBy('a:1', 'b:1'), 2);
  const agreed = watch.coversAllFollowers(followedBy('b:1'), 1);
  roles.set('a:1', 'master');
  assert.match(await thrownBy(agreed), /^DEPOSED a:1 /);
  assert.equal(asked, ['a:1', 'a:1']);
});

test('a box that was off, then followed and was promoted between two commits, is asked', async (stage) => {
  const { watch, roles, replicationIds } = stage;
  watch.noteFollowers(['b:1'], ['a:1']);
  assert.is(await watch.coversAllFollowers(followedBy('b:1'), 1), true);
  stage.nowMs += 2_000;
  roles.set('a:1', 'master');
  replicationIds.set('a:1', ['theirs', 'ours']);
  assert.match(await thrownBy(watch.coversAllFollowers(followedBy('b:1'), 1)), /^DEPOSED a:1 /);
});

test('a box that is off delays no commit, and is asked once a second', async (stage) => {
  const { watch, roles, asked } = stage;
  await watch.coversAllFollowers(followedBy('a:1', 'b:1'), 2);
  assert.is(await watch.coversAllFollowers(followedBy('b:1'), 1), true);
  stage.nowMs += 999;
  assert.is(await watch.coversAllFollowers(followedBy('b:1'), 1), true);
  assert.equal(asked, ['a:1', 'a:1']);
  stage.nowMs += 1;
  roles.set('a:1', 'master');
  assert.is(await watch.coversAllFollowers(followedBy('b:1'), 1), true, 'it does not wait for the answer');
  await new Promise((resolve) => setImmediate(resolve));
  assert.match(await thrownBy(watch.coversAllFollowers(followedBy('b:1'), 1)), /^DEPOSED a:1 /);
});

test('neither a box that is off nor one that is syncing is asked at every commit', async (stage) => {
  const { watch, roles, asked } = stage;
  await watch.coversAllFollowers(followedBy('a:1', 'b:1', 'c:1'), 3);
  roles.set('b:1', 'slave');
  assert.is(await watch.coversAllFollowers(followedBy('c:1'), 1), true);
  assert.is(await watch.coversAllFollowers(followedBy('c:1'), 1), true);
  assert.equal(asked, ['a:1', 'a:1', 'b:1']);
  stage.nowMs += 100;
  roles.set('b:1', 'master');
  assert.match(await thrownBy(watch.coversAllFollowers(followedBy('c:1'), 1)), /^DEPOSED b:1 /);
});

test('a follower that hangs delays commits for a second and is then left out for a minute', async (stage) => {
  const { watch } = stage;
  await watch.coversAllFollowers(followedBy('a:1', 'b:1'), 1);
  watch.noteWait(900);
  assert.is(watch.wanted(), 2);
  watch.noteWait(1_001);
  assert.is(watch.wanted(), 1);
  stage.nowMs += 60_000;
  assert.is(watch.wanted(), 2);
});

test('a follower that was left out counts again as soon as it has caught up', async ({ watch }) => {
  const at = (offset: number, own: number): unknown => [
    'master',
    offset,
    [
      ['a', '1', String(offset)],
      ['b', '1', String(own)],
    ],
  ];
  await watch.coversAllFollowers(at(200, 100), 2);
  watch.noteWait(1_001);
  assert.is(await watch.coversAllFollowers(at(300, 100), 1), true);
  assert.is(await watch.coversAllFollowers(at(400, 250), 1), true, 'it advances, but is behind');
  assert.is(await watch.coversAllFollowers(at(500, 400), 1), false, 'it has what was written at the last check');
  assert.is(watch.wanted(), 2);
});

test.run();
