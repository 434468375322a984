/** Who may list and remove nodes and revoke tokens. The nodes are a stand-in: see node-certificates.test.ts. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { connectPhoton, type PhotonClient } from '../client/client.ts';
import { nodeSocketFactory } from '../client/node-socket.ts';
import { PhotonError } from '../contract/errors.ts';
import { startTestApi } from './api-for-tests.ts';
import type { ClusterNodes } from './node-methods.ts';
import type { WireRevocation } from './node-schema.ts';

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: PhotonError) => error.record.code,
  );

test('only an operator of all scopes lists and removes nodes and revokes tokens', async () => {
  const revoked: WireRevocation[] = [];
  const nodes: ClusterNodes = {
    list: () => [{ node: 'c2', role: 'controller', alive: true }],
    revoked: () => revoked,
    revoke: async (order) => {
      const revocation = { ...order, atMs: 1 };
      revoked.push(revocation);
      return revocation;
    },
  };
  const api = await startTestApi({ more: { nodes } });
  api.principals.people.set('boss', { id: 'id-boss', name: 'boss', scopes: ['acme'], admin: true });
  const dial = (name: string): Promise<PhotonClient> =>
    connectPhoton({ url: api.url, token: `${name}-token`, openSocket: nodeSocketFactory() });
  const clients = await Promise.all(['ann', 'boss', 'root'].map(dial));
  try {
    for (const client of clients.slice(0, 2)) {
      assert.is(await codeOf(client.call('node.list', {})), 'forbidden');
      assert.is(await codeOf(client.call('node.remove', { node: 'c2', reason: 'x' })), 'forbidden');
      assert.is(await codeOf(client.call('token.revoke', { principal: 'root', reason: 'x' })), 'forbidden');
    }
    assert.equal(revoked, []);
    const root = clients[2] as PhotonClient;
    assert.is(await codeOf(root.call('node.remove', { node: 'c1', reason: 'x' })), 'node_answers');
    assert.is(await codeOf(root.call('node.remove', { node: 'no name!', reason: 'x' })), 'params_invalid');
    await root.call('node.remove', { node: 'c2', reason: 'stolen' });
    await root.call('token.revoke', { principal: 'ann', reason: 'leaked' });
    assert.equal(await root.call('node.list', {}), {
      nodes: [{ node: 'c2', role: 'controller', alive: true }],
      revoked: [
        { subject: 'node:c2', reason: 'stolen', by: 'root', atMs: 1 },
        { subject: 'token:ann', reason: 'leaked', by: 'root', atMs: 1 },
      ],
    });
  } finally {
    for (const client of clients) client.close();
    await api.stop();
  }
});

test.run();
