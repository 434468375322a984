/** Operator verbs over real sockets: who may send them, what reaches the actor, what the lists contain. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { actorId } from '../contract/identifiers.ts';
import type { StoredDeadLetter } from '../contract/supervision.ts';
import { startTestApi, type TestApi } from './api-for-tests.ts';
import { RawClient } from './raw-client-for-tests.ts';

const code = (name: string): string => `urn:photon:error:${name}`;
const given = { id: 'box/acme/a', reason: 'looked at it', idempotencyKey: 'k1' };
const verbs = [
  ['actor.pause', {}],
  ['actor.resume', {}],
  ['actor.skip', { deadLetters: ['L1'] }],
  ['actor.redrive', {}],
  ['actor.reset', { to: 'open', patch: { size: 2 }, dryRun: true }],
] as const;

async function within(work: (api: TestApi, open: (token: string) => Promise<RawClient>) => Promise<void>) {
  const api = await startTestApi();
  const clients: RawClient[] = [];
  try {
    await work(api, async (token) => {
      const client = await new RawClient(api.url).open(token);
      clients.push(client);
      return client;
    });
  } finally {
    for (const client of clients) await client.close();
    await api.stop();
  }
}

function deadLetterOf(deadLetterId: string, actor: string): StoredDeadLetter {
  const event = { type: 'box.poke' };
  const found = { cause: 'message:lid/acme/l:1', reason: 'no_such_actor', state: null, version: 0, at: 5 };
  return { deadLetterId, actor: actorId(actor), place: '1-0', event, ...found };
}

test('every verb reaches the actor with principal, reason and key; only operators may send it', async () => {
  await within(async ({ asked }, open) => {
    const root = await open('root-token');
    const ann = await open('ann-token');
    for (const [name, more] of verbs) {
      assert.is((await ann.refusal(name, { ...given, ...more })).type, code('forbidden'));
      assert.is((await ann.refusal(name, { ...given, ...more, id: 'box/bits/a' })).type, code('not_found'));
      await root.call(name, { ...given, ...more, ifVersion: 3 });
      const command = asked.at(-1);
      assert.equal([command?.to, command?.commandId, command?.principal], ['box/acme/a', 'root:k1', 'root']);
      assert.equal(command?.event, { type: name, reason: 'looked at it', ...more });
      assert.is(command?.ifVersion, 3);
    }
    assert.is(asked.length, verbs.length);
    assert.is(new Set(asked.map(({ digest }) => digest)).size, verbs.length);
    const bare = await root.refusal('actor.pause', { id: given.id, idempotencyKey: 'k' });
    assert.equal(
      bare.issues?.map(({ path }) => path),
      ['reason'],
    );
  });
});

test('operators list dead letters of one actor, of one scope, in pages; other principals may not', async () => {
  await within(async ({ store }, open) => {
    store.keptDeadLetters.push(
      deadLetterOf('L3', 'box/acme/a'),
      deadLetterOf('L1', 'box/bits/a'),
      deadLetterOf('L2', 'box/acme/b'),
    );
    const root = await open('root-token');
    const ann = await open('ann-token');
    const list = async (params: object): Promise<unknown> => {
      const page = (await root.call('deadletters.list', params as never)) as {
        deadLetters: { deadLetterId: string }[];
        next: string | null;
      };
      return [...page.deadLetters.map(({ deadLetterId }) => deadLetterId), page.next];
    };
    assert.equal(await list({}), ['L1', 'L2', 'L3', null]);
    assert.equal(await list({ scope: 'acme' }), ['L2', 'L3', null]);
    assert.equal(await list({ id: 'box/acme/b' }), ['L2', null]);
    assert.equal(await list({ limit: 2 }), ['L1', 'L2', 'L2']);
    assert.equal(await list({ limit: 2, after: 'L2' }), ['L3', null]);
    assert.is((await ann.refusal('deadletters.list', {})).type, code('forbidden'));
    assert.is((await ann.refusal('deadletters.list', { id: 'box/bits/a' })).type, code('not_found'));
  });
});

test('dead letters are cleared in bulk: each actor skips its own, except the one that quarantines it', async () => {
  await within(async ({ store, asked }, open) => {
    const letters = [
      deadLetterOf('L3', 'box/acme/a'),
      deadLetterOf('L1', 'box/bits/a'),
      deadLetterOf('L2', 'box/acme/b'),
      deadLetterOf('L4', 'box/acme/a'),
    ];
    store.keptDeadLetters.push(...letters);
    store.put('box/acme/b', 'open');
    store.hold('box/acme/b', 'quarantined', 'L2');
    const root = await open('root-token');
    const ann = await open('ann-token');
    const params = { scope: 'acme', reason: 'of boxes that are gone', idempotencyKey: 'k9' };
    assert.is((await ann.refusal('deadletters.clear', params)).type, code('forbidden'));
    assert.equal(await root.call('deadletters.clear', params), { cleared: 2, held: 1, left: 1 });
    assert.equal(
      asked.map(({ to, event, principal, commandId }) => [to, event, principal, commandId]),
      [
        [
          'box/acme/a',
          { type: 'actor.skip', reason: 'of boxes that are gone', deadLetters: ['L3', 'L4'] },
          'root',
          'root:L3:k9',
        ],
      ],
    );
  });
});

test('held actors can be listed, and actor.get shows the reason', async () => {
  await within(async ({ store }, open) => {
    store.put('box/acme/a', 'open');
    store.put('box/acme/b', 'open');
    store.hold('box/acme/b', 'paused');
    const ann = await open('ann-token');
    const { actors } = (await ann.call('actor.list', { held: true })) as { actors: { id: string; held: string }[] };
    assert.equal(
      actors.map(({ id, held }) => [id, held]),
      [['box/acme/b', 'paused']],
    );
    const { hold } = (await ann.call('actor.get', { id: 'box/acme/b' })) as { hold: object };
    assert.equal(hold, { kind: 'paused', reason: 'a test says so', at: 1_000, by: 'root' });
  });
});

test.run();
