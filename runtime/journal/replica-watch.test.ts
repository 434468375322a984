import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ReplicaWatch } from './replica-watch.ts';

interface Stage {
  nowMs: number;
  /** What a server answers that is asked for its role; nothing when it is off. */
  roles: Map<string, string>;
  /** Its own replicationId and the one it followed, where it tells. */
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
    standingOf: async (name) => {
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

test('everybody who follows is waited for, and at least as many as were configured', async ({ watch }) => {
  assert.is(watch.wanted(), 1);
  assert.is(await watch.agrees(followedBy('a:1', 'b:1'), 1), false, 'more follow than acknowledged');
  assert.is(watch.wanted(), 2);
  assert.is(await watch.agrees(followedBy('a:1', 'b:1'), 2), true);
});

test('a replica that left and is a primary now stops everything, for as long as it says so', async (stage) => {
  const { watch, roles } = stage;
  await watch.agrees(followedBy('a:1', 'b:1'), 2);
  roles.set('a:1', 'master');
  for (let turn = 0; turn < 2; turn += 1) {
    assert.match(await thrownBy(watch.agrees(followedBy('b:1'), 1)), /^DEPOSED a:1 /);
  }
  roles.set('a:1', 'slave');
  assert.is(await watch.agrees(followedBy('b:1'), 1), true);
});

test('a replica that followed at a connect is asked, though no commit has waited for it', async (stage) => {
  const { watch, roles } = stage;
  watch.saw(['a:1', 'b:1']);
  roles.set('a:1', 'master');
  assert.match(await thrownBy(watch.agrees(followedBy('b:1'), 1)), /^DEPOSED a:1 /);
});

test('a box that was promoted before the first connect is known by the replicationId it followed', async (stage) => {
  const { watch, roles, replicationIds } = stage;
  watch.saw(['b:1'], ['self:1', 'a:1', 'b:1']);
  roles.set('self:1', 'master').set('a:1', 'master');
  replicationIds.set('self:1', ['ours', 'before']).set('a:1', ['theirs', 'ours']);
  assert.match(await thrownBy(watch.agrees(followedBy('b:1'), 1)), /^DEPOSED a:1 /);
});

test('neither this server itself nor the one that it has replaced stops anything', async (stage) => {
  const { watch, roles, replicationIds, asked } = stage;
  watch.saw(['b:1'], ['self:1', 'before:1', 'b:1', 'off:1']);
  roles.set('self:1', 'master').set('before:1', 'master');
  replicationIds.set('self:1', ['ours', 'before']).set('before:1', ['before', 'long ago']);
  assert.is(await watch.agrees(followedBy('b:1'), 1), true);
  stage.nowMs += 100;
  assert.is(await watch.agrees(followedBy('b:1'), 1), true);
  assert.equal(asked, ['self:1', 'before:1', 'off:1', 'off:1', 'before:1']);
  // It has been told, and is promoted again.
  watch.saw(['before:1']);
  replicationIds.set('before:1', ['theirs', 'ours']);
  assert.match(await thrownBy(watch.agrees(followedBy('b:1'), 1)), /^DEPOSED before:1 /);
});

test('a box that tells no replicationId and was never seen to follow stops nothing', async (stage) => {
  const { watch, roles } = stage;
  watch.saw([], ['a:1']);
  roles.set('a:1', 'master');
  assert.is(await watch.agrees(followedBy(), 1), true);
});

test('a primary that was made a replica since the wait was answered is told so, and not that it answers wrong', async ({
  watch,
}) => {
  const role = ['slave', 'a', 6379, 'connected', 100];
  assert.match(await thrownBy(watch.agrees(role, 1)), /^READONLY /);
});

test('a box whose answer is lost is asked once more', async (stage) => {
  const { watch, roles, asked } = stage;
  await watch.agrees(followedBy('a:1', 'b:1'), 2);
  const agreed = watch.agrees(followedBy('b:1'), 1);
  roles.set('a:1', 'master');
  assert.match(await thrownBy(agreed), /^DEPOSED a:1 /);
  assert.equal(asked, ['a:1', 'a:1']);
});

test('a box that was off, and has followed and was promoted while no commit looked, is asked', async (stage) => {
  const { watch, roles, replicationIds } = stage;
  watch.saw(['b:1'], ['a:1']);
  assert.is(await watch.agrees(followedBy('b:1'), 1), true);
  stage.nowMs += 2_000;
  roles.set('a:1', 'master');
  replicationIds.set('a:1', ['theirs', 'ours']);
  assert.match(await thrownBy(watch.agrees(followedBy('b:1'), 1)), /^DEPOSED a:1 /);
});

test('a box that is off holds up no commit, and is asked once a second whether it is back', async (stage) => {
  const { watch, roles, asked } = stage;
  await watch.agrees(followedBy('a:1', 'b:1'), 2);
  assert.is(await watch.agrees(followedBy('b:1'), 1), true);
  stage.nowMs += 999;
  assert.is(await watch.agrees(followedBy('b:1'), 1), true);
  assert.equal(asked, ['a:1', 'a:1']);
  stage.nowMs += 1;
  roles.set('a:1', 'master');
  assert.is(await watch.agrees(followedBy('b:1'), 1), true, 'it does not wait for the answer');
  await new Promise((resolve) => setImmediate(resolve));
  assert.match(await thrownBy(watch.agrees(followedBy('b:1'), 1)), /^DEPOSED a:1 /);
});

test('one that is off is asked no more for a while, one that is syncing not at every commit', async (stage) => {
  const { watch, roles, asked } = stage;
  await watch.agrees(followedBy('a:1', 'b:1', 'c:1'), 3);
  roles.set('b:1', 'slave');
  assert.is(await watch.agrees(followedBy('c:1'), 1), true);
  assert.is(await watch.agrees(followedBy('c:1'), 1), true);
  assert.equal(asked, ['a:1', 'a:1', 'b:1']);
  stage.nowMs += 100;
  roles.set('b:1', 'master');
  assert.match(await thrownBy(watch.agrees(followedBy('c:1'), 1)), /^DEPOSED b:1 /);
});

test('one that follows and stands still holds commits for a second, and is left out then', async (stage) => {
  const { watch } = stage;
  await watch.agrees(followedBy('a:1', 'b:1'), 1);
  watch.waited(900);
  assert.is(watch.wanted(), 2);
  watch.waited(1_001);
  assert.is(watch.wanted(), 1);
  stage.nowMs += 60_000;
  assert.is(watch.wanted(), 2);
});

test('one that was left out counts again as soon as it has caught up', async ({ watch }) => {
  const at = (offset: number, own: number): unknown => [
    'master',
    offset,
    [
      ['a', '1', String(offset)],
      ['b', '1', String(own)],
    ],
  ];
  await watch.agrees(at(200, 100), 2);
  watch.waited(1_001);
  assert.is(await watch.agrees(at(300, 100), 1), true);
  assert.is(await watch.agrees(at(400, 250), 1), true, 'it goes on, but is behind');
  assert.is(await watch.agrees(at(500, 400), 1), false, 'it has what was there at the last look');
  assert.is(watch.wanted(), 2);
});

test.run();
