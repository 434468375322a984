/** Figures of an object, which are read from its nodes when somebody asks. */
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
    assert.equal(await read(), { figures: { bytes: 7, reads: 3 }, complete: true });
    // A node that is silent, or does not answer numbers.
    for (const wrong of ['', '{"reads":"many"}']) {
      answers = { ...answers, w2: wrong };
      assert.equal(await read(), { figures: { bytes: 7 }, complete: false });
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

test.run();
