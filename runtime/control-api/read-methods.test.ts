/** Figures and facts of an object, which are read from its nodes when somebody asks. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { OutputPlace } from '../contract/actor-definition.ts';
import { startTestApi } from './api-for-tests.ts';
import { RawClient } from './raw-client-for-tests.ts';
import { testRegistry } from './store-for-tests.ts';

const code = (name: string): string => `urn:photon:error:${name}`;

test('figures are read from every node that has some, by those who may read the object', async () => {
  const kinds = new Map(testRegistry.kinds);
  const box = kinds.get('box');
  assert.ok(box);
  const figures = (id: string, { spec }: { spec: { size: number } }) =>
    ['w1', 'w2'].slice(0, spec.size).map((node) => ({ node, path: `/boxes/${id}` }));
  kinds.set('box', { ...box, figures: figures as never });
  let answers: Readonly<Record<string, string>> = { w1: '{"bytes":7}', w2: '{"reads":3}' };
  const readOutput = async ({ node, path }: OutputPlace): Promise<string> => {
    assert.match(path, /^\/boxes\/box\/acme\//);
    return answers[node] ?? '';
  };
  const api = await startTestApi({ more: { registry: { kinds }, readOutput } });
  try {
    const { url, store } = api;
    store.put('box/acme/a', 'open', 2);
    store.put('box/acme/none', 'open', 0);
    store.put('lid/acme/a', 'open');
    const ann = await new RawClient(url).open('ann-token');
    const read = (): Promise<unknown> => ann.call('actor.figures', { id: 'box/acme/a' });
    assert.equal(await read(), { figures: { bytes: 7, reads: 3 }, facts: [], complete: true });
    // A node that is silent, or does not answer numbers.
    for (const wrong of ['', '{"reads":"many"}']) {
      answers = { ...answers, w2: wrong };
      assert.equal(await read(), { figures: { bytes: 7 }, facts: [], complete: false });
    }
    for (const id of ['box/acme/none', 'lid/acme/a'])
      assert.is((await ann.refusal('actor.figures', { id })).type, code('no_figures'), id);
    const bob = await new RawClient(url).open('bob-token');
    assert.is((await bob.refusal('actor.figures', { id: 'box/acme/a' })).type, code('not_found'));
    await ann.close();
    await bob.close();
  } finally {
    await api.stop();
  }
});

test('facts are read from the node that has the object, no longer and no more than the schema says', async () => {
  const kinds = new Map(testRegistry.kinds);
  const box = kinds.get('box');
  assert.ok(box);
  const facts = (id: string, { spec }: { spec: { size: number } }) =>
    spec.size === 0 ? null : { node: 'w1', path: `/words/${id}` };
  kinds.set('box', { ...box, facts: facts as never });
  let answer = '[{"name":"system","values":["one","two"],"other":7}]';
  const asked: OutputPlace[] = [];
  const readOutput = async (place: OutputPlace): Promise<string> => {
    asked.push(place);
    return answer;
  };
  const api = await startTestApi({ more: { registry: { kinds }, readOutput } });
  try {
    const { url, store } = api;
    store.put('box/acme/a', 'open', 1);
    store.put('box/acme/none', 'open', 0);
    const ann = await new RawClient(url).open('ann-token');
    const read = (): Promise<unknown> => ann.call('actor.figures', { id: 'box/acme/a' });
    const system = { name: 'system', values: ['one', 'two'] };
    assert.equal(await read(), { figures: {}, facts: [system], complete: true });
    const long = 'x'.repeat(257);
    const many = (name: string, values: readonly string[], count: number) =>
      JSON.stringify(Array.from({ length: count }, () => ({ name, values })));
    for (const wrong of ['', '{}', '[7]', many(long, [], 1), many('a', [long], 1), many('a', [], 65)]) {
      answer = wrong;
      assert.equal(await read(), { figures: {}, facts: [], complete: false }, wrong.slice(0, 20));
    }
    const before = asked.length;
    assert.is((await ann.refusal('actor.figures', { id: 'box/acme/none' })).type, code('no_figures'));
    const bob = await new RawClient(url).open('bob-token');
    assert.is((await bob.refusal('actor.figures', { id: 'box/acme/a' })).type, code('not_found'));
    assert.equal([asked[0], asked.length], [{ node: 'w1', path: '/words/box/acme/a' }, before]);
    await ann.close();
    await bob.close();
  } finally {
    await api.stop();
  }
});

test.run();
