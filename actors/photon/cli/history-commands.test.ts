import { connectPhoton } from '@photoncloud/runtime/client/client';
import { nodeSocketFactory } from '@photoncloud/runtime/client/node-socket';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import type { HistoryEntry } from '@photoncloud/runtime/contract/journal';
import { startTestApi } from '@photoncloud/runtime/control-api/api-for-tests';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { entriesOf } from './history-commands.ts';

test('the whole history is read, also where one version has more entries than a page', async () => {
  const api = await startTestApi();
  const id = actorId('box/acme/a');
  for (const size of [1, 2, 3]) api.store.put(id, 'open', size);
  const [first, second, third] = api.store.past.get(id) as [HistoryEntry, HistoryEntry, HistoryEntry];
  const rejected = Array.from({ length: 1_200 }, (_, at): HistoryEntry => ({ ...second, kind: 'rejected', at }));
  const all = [first, second, ...rejected, third];
  api.store.past.set(id, all);
  const client = await connectPhoton({ url: api.url, token: 'ann-token', openSocket: nodeSocketFactory() });
  const whole = await entriesOf(client, id, 1, undefined);
  assert.equal([whole.entries.length, whole.isCut], [all.length, false]);
  assert.equal(
    whole.entries.map(({ at, version }) => [at, version]),
    all.map(({ at, version }) => [at, version]),
  );
  assert.is((await entriesOf(client, id, 2, 2)).entries.length, 1_201);
  api.store.past.set(id, all.slice(5));
  assert.is((await entriesOf(client, id, 1, undefined)).isCut, true);
  client.close();
  await api.stop();
});

test.run();
