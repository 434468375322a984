/** One node reads another's archive over HTTP, without TLS; peer-server.test.ts tests certificates. */
import { once } from 'node:events';
import { createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf, removeFolder, tempFolder } from './history-for-tests.ts';
import type { RunPlace } from './history-run.ts';
import { createRunFetch, createRunRoute } from './run-route.ts';
import { ChunkWriter } from './chunk-writer.ts';

test('a run is fetched unchanged; damage and an unreachable node give different errors', async () => {
  const folder = await tempFolder();
  const writer = new ChunkWriter({ folder, node: 'n1' });
  const places = await writer.append(['{"first":1}', '{"second":"ü"}']);
  await writer.close();
  const route = createRunRoute('n1', folder);
  const server = createServer((request, response) => void route(request, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const paths: string[] = [];
  const fetchRun = createRunFetch(async (node, path) => {
    paths.push(path);
    if (node !== 'n1') throw new Error('no link');
    const [response] = (await once(get({ host: '127.0.0.1', port, path }), 'response')) as [IncomingMessage];
    if (response.statusCode !== 200) throw new Error(`it answered ${response.statusCode}`);
    return response;
  });
  try {
    const [, second] = places as [RunPlace, RunPlace];
    assert.is(await fetchRun(second), '{"second":"ü"}');
    assert.match(paths[0] ?? '', /^\/history\/1\/\d+\/1$/);
    assert.is(await codeOf(fetchRun({ ...second, chunk: 9 })), 'archive_damaged');
    assert.is(await codeOf(fetchRun({ ...second, line: 7 })), 'archive_damaged');
    assert.is(await codeOf(fetchRun({ ...second, node: 'n2' })), 'archive_unreachable');
    assert.is(await codeOf(fetchRun({ ...second, chunk: -1 })), 'archive_unreachable');
  } finally {
    server.close();
    await removeFolder(folder);
  }
});

test.run();
