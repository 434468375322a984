/** The client's WebSocket in Node: over TLS with a private certificate authority, and over a unix socket. */
import { rmSync, mkdtempSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError, type ErrorRecord } from '../contract/errors.ts';
import { startTestApi } from '../control-api/api-for-tests.ts';
import { createTestAuthority } from '../transport/certificates-for-tests.ts';
import { connectPhoton, type ConnectOptions, type PhotonClient } from './client.ts';
import { nodeSocketFactory } from './node-socket.ts';

const openSocket = nodeSocketFactory();
const dial = (url: string, more: Partial<ConnectOptions> = {}): Promise<PhotonClient> =>
  connectPhoton({ url, token: 'ann-token', openSocket, ...more });

async function refused(work: Promise<unknown>): Promise<ErrorRecord> {
  try {
    await work;
  } catch (error) {
    if (error instanceof PhotonError) return error.record;
    throw error;
  }
  throw new Error('expected a refusal');
}

test('it connects over TLS with a private authority and over a unix socket', async () => {
  const api = await startTestApi();
  const authority = createTestAuthority();
  const own = authority.issue('c1');
  const folder = mkdtempSync(join(tmpdir(), 'photon-client-'));
  const tls = createTlsServer({ cert: own.cert, key: own.key, minVersion: 'TLSv1.3' });
  const local = createServer();
  const socketPath = join(folder, 'api.sock');
  try {
    api.api.attach(tls);
    api.api.attach(local);
    await new Promise<void>((resolve) => tls.listen(0, '127.0.0.1', resolve));
    await new Promise<void>((resolve) => local.listen(socketPath, resolve));
    const url = `wss://127.0.0.1:${(tls.address() as AddressInfo).port}/api`;
    const trusted = await dial(url, { openSocket: nodeSocketFactory({ ca: authority.ca }) });
    assert.ok((await trusted.call('ping', {})).at > 0);
    trusted.close();
    const untrusted = await refused(dial(url, { openSocket: nodeSocketFactory({ ca: createTestAuthority().ca }) }));
    assert.is(untrusted.code, 'unreachable');
    const near = await dial('wss://ignored/api', { openSocket: nodeSocketFactory({ socketPath }) });
    assert.ok((await near.call('ping', {})).at > 0);
    near.close();
  } finally {
    await api.stop();
    tls.closeAllConnections();
    local.closeAllConnections();
    await new Promise((resolve) => tls.close(resolve));
    await new Promise((resolve) => local.close(resolve));
    rmSync(folder, { recursive: true, force: true });
  }
});

test.run();
