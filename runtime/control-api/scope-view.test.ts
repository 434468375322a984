/** What a principal of a scope does not see and an operator does: hosts, what runs there, fields for operators. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ActorDefinition, ActorRegistry } from '../contract/actor-definition.ts';
import { actorId } from '../contract/identifiers.ts';
import { startTestApi } from './api-for-tests.ts';
import { RawClient, until } from './raw-client-for-tests.ts';
import { MemoryStore, testRegistry } from './store-for-tests.ts';

const box = testRegistry.kinds.get('box') as ActorDefinition;

/** A kind that shows where its actors are, to operators only. */
const registry: ActorRegistry = {
  kinds: new Map([
    ...testRegistry.kinds,
    [
      'box',
      {
        ...box,
        view: (context: never) => {
          const { spec } = context as { spec: { size: number } };
          return { spec, status: { size: spec.size, host: 'worker-7' } };
        },
        forScope: ({ spec, status }) => ({ spec, status: { size: (status as { size: number }).size } }),
      },
    ],
  ]),
};

test('hosts, what runs on them and what only operators may know are in no answer and no frame for others', async () => {
  const store = new MemoryStore();
  store.put('box/acme/a', 'open', 3);
  store.put('pinned/acme/a@worker-7', 'open', 3);
  const id = actorId('box/acme/a');
  const [made] = store.past.get(id) ?? [];
  if (made === undefined) throw new Error('there is no history');
  const told = {
    ...made,
    version: 2,
    event: { type: 'pinned.failed', from: 'pinned/acme/a@worker-7', error: { code: 'broken', message: 'on worker-7' } },
    cause: 'message:pinned/acme/a@worker-7:4',
    asked: ['send:pinned.stop:pinned/acme/a@worker-7'],
    changed: { spec: { size: 3 }, place: { host: 'worker-7' } },
    gone: ['worker-7'],
    whole: 1,
  };
  store.past.set(id, [{ ...made, event: { type: 'box.create', size: 3 } }, told]);
  const api = await startTestApi({ store, more: { registry } });
  try {
    const ann = await new RawClient(api.url).open('ann-token');
    const root = await new RawClient(api.url).open('root-token');
    for (const client of [ann, root]) {
      await client.call('actor.get', { id });
      await client.call('actor.list', { scope: 'acme', detail: true });
      await client.call('actor.list', { host: 'worker-7' });
      await client.call('actor.history', { id });
      await client.call('watch.open', { scope: 'acme', detail: true });
      await until(() => client.watched().some(({ type }) => type === 'synced'), 'the snapshot');
    }
    const text = JSON.stringify(ann.frames);
    assert.not.match(text, 'worker-7');
    assert.match(text, '"size":3');
    assert.ok(JSON.stringify(root.frames).split('worker-7').length > 10);
    for (const method of ['actor.get', 'actor.history', 'watch.open']) {
      const params = method === 'watch.open' ? { ids: ['pinned/acme/a@worker-7'] } : { id: 'pinned/acme/a@worker-7' };
      const foreign = await ann.refusal(method, params);
      assert.is(foreign.type, 'urn:photon:error:not_found', method);
    }
    const { entries } = await ann.call('actor.history', { id });
    const [first, second] = entries as { event: unknown; cause: string; asked: string[]; changed: unknown }[];
    assert.equal(first?.event, { type: 'box.create', size: 3 }, 'its own command is whole');
    assert.equal(second?.event, { type: 'pinned.failed', error: { code: 'broken' } });
    assert.equal([second?.cause, second?.asked], ['message:pinned/acme/a:4', ['send:pinned.stop:pinned/acme/a']]);
    assert.equal(second?.changed, { spec: { size: 3 } });
    for (const client of [ann, root]) await client.close();
  } finally {
    await api.stop();
  }
});

test.run();
