// test limit: 120 s
// time limit: 300 s
/** Certificates and tokens of a running cluster of controllers: renewal, removal of a node, revocation of a token. */
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { connectPhoton, type PhotonClient } from '@photoncloud/runtime/client/client';
import { nodeSocketFactory } from '@photoncloud/runtime/client/node-socket';
import { PhotonError, type ErrorRecord } from '@photoncloud/runtime/contract/errors';
import { TestRedis, until } from '@photoncloud/runtime/journal/redis-for-tests';
import { apiSocketName } from './controller-node.ts';
import { createTenant, TestProgram } from './program-for-tests.ts';

interface NodeJson {
  readonly peerListenPort: number;
  readonly apiListenPort: number;
}

const configOf = (program: TestProgram, node: string): NodeJson =>
  JSON.parse(readFileSync(join(program.nodeFolder(node), 'node.json'), 'utf8')) as NodeJson;

/** The serial number of the certificate with which a server answers now; empty when it does not answer. */
const servedSerial = (listenPort: number): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect({ port: listenPort, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.on('error', () => resolve(''));
  });

/** A session over TLS, as from another computer. */
function dial(program: TestProgram, node: string, as: string, onDrop: () => void = () => {}): Promise<PhotonClient> {
  const clients = join(program.initFolder, 'clients');
  const { token } = JSON.parse(readFileSync(join(clients, `${as}.json`), 'utf8')) as { token: string };
  const openSocket = nodeSocketFactory({ ca: readFileSync(join(clients, 'ca.crt'), 'utf8') });
  const { apiListenPort } = configOf(program, node);
  return connectPhoton({ url: `wss://127.0.0.1:${apiListenPort}/api`, token, openSocket, onDrop });
}

async function refused(work: Promise<unknown>): Promise<ErrorRecord> {
  try {
    await work;
  } catch (error) {
    if (error instanceof PhotonError) return error.record;
    throw error;
  }
  throw new Error('expected a refusal');
}

/** One cluster for all tests of this file, in their order: its processes cost more than what is tested. */
let redis: TestRedis;
let cluster: TestProgram;

test.before(async () => {
  redis = await TestRedis.start();
  cluster = await TestProgram.start(redis.url, ['c1', 'c2']);
});

test.after(async () => {
  await cluster?.remove();
  await redis?.remove();
});

/** A client file for the CLI on the same computer. */
function clientFileOf(program: TestProgram, node: string): string {
  const { token } = JSON.parse(readFileSync(join(program.initFolder, 'clients/operator.json'), 'utf8')) as {
    token: string;
  };
  const path = join(program.initFolder, 'clients/near.json');
  const socketPath = join(program.nodeFolder(node), apiSocketName);
  writeFileSync(path, JSON.stringify({ url: 'ws://localhost/api', token, socketPath }));
  return path;
}

const untilNextSecond = (): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, 1_000 - (Date.now() % 1_000) + 1));

test('renewed certificates are used by running nodes; no session and no link ends', async () => {
  const program = cluster;
  let drops = 0;
  const session = await dial(program, 'c1', 'operator', () => (drops += 1));
  try {
    await createTenant('before', [session]);
    // A node learns of the others at its next beat.
    const nodesKnown = async (): Promise<boolean> => (await session.call('node.list', {})).nodes.length === 2;
    await until('both nodes are known', nodesKnown);
    const listed = await session.call('node.list', {});
    assert.equal(
      listed.nodes.map(({ node, certificate }) => [node, certificate?.condition.reason]),
      [
        ['c1', 'Valid'],
        ['c2', 'Valid'],
      ],
    );
    const days = ((listed.nodes[0]?.certificate?.expiresMs ?? 0) - Date.now()) / 86_400_000;
    assert.ok(days > 29 && days <= 30, `${days} days`);
    const { apiListenPort, peerListenPort } = configOf(program, 'c1');
    const before = await servedSerial(apiListenPort);
    assert.match(await program.photon('node', 'renew', '--dir', program.initFolder), /^valid {4}.*c1\/node.crt/m);
    assert.is(await servedSerial(apiListenPort), before, 'nothing was due');
    await program.photon('node', 'renew', 'c1', 'c2', '--days', '60', '--dir', program.initFolder);
    await until('c1 serves the new one', async () => (await servedSerial(apiListenPort)) !== before);
    // The server for peers demands a certificate, and shows its own first.
    assert.is(await servedSerial(peerListenPort), await servedSerial(apiListenPort));
    const renewed = async (): Promise<boolean> => {
      const { nodes } = await session.call('node.list', {});
      return nodes.every(({ certificate }) => (certificate?.expiresMs ?? 0) > Date.now() + 59 * 86_400_000);
    };
    await until('both nodes tell the new one', renewed);
    for (let at = 0; at < 8; at += 1) await createTenant(`after${at}`, [session]);
    assert.is(drops, 0);
    const fresh = await dial(program, 'c2', 'operator');
    assert.ok((await fresh.call('ping', {})).at > 0);
    fresh.close();
  } finally {
    session.close();
  }
});

test('a revoked token is refused by every controller and its sessions end; a renewed one works', async () => {
  const program = cluster;
  const tokensOf = (): string => readFileSync(join(program.nodeFolder('c2'), 'tokens.json'), 'utf8');
  const life = JSON.parse(tokensOf()) as { expires: string }[];
  assert.ok(Date.parse(life[0]?.expires ?? '') < Date.now() + 366 * 86_400_000, 'a token does not last for ever');
  const ends: string[] = [];
  const sessions = await Promise.all(
    ['c1', 'c2'].map((node) => dial(program, node, 'operator', () => ends.push(node))),
  );
  try {
    const { stdout } = await metrics(program, 'c1');
    assert.match(stdout, /^photon_node_certificate_expires_seconds\{node="c2",role="controller"\} \d+$/m);
    assert.is((await metrics(program, 'c1', 'wrong')).status, 401);
    const as = ['--as', clientFileOf(program, 'c1')];
    await program.photon(...as, 'token', 'revoke', 'operator', '--reason', 'leaked');
    await until('both sessions have ended', () => ends.length === 2);
    assert.is((await refused(dial(program, 'c2', 'operator'))).code, 'unauthenticated');
    assert.is((await metrics(program, 'c1')).status, 401);
    await program.photon('token', 'renew', 'operator', '--dir', program.initFolder);
    for (const node of ['c1', 'c2']) {
      const tryAgain = async (): Promise<boolean> => {
        const client = await dial(program, node, 'operator').catch((error: PhotonError) => error);
        if (client instanceof PhotonError) return false;
        client.close();
        return true;
      };
      await until(`${node} accepts the new token`, tryAgain);
    }
  } finally {
    for (const each of sessions) each.close();
  }
});

test('a removed controller ends and starts only with a new certificate; one more node can be added', async () => {
  const program = cluster;
  const session = await dial(program, 'c1', 'operator');
  try {
    assert.is((await refused(session.call('node.remove', { node: 'c1', reason: 'x' }))).code, 'node_answers');
    const as = ['--as', clientFileOf(program, 'c1')];
    assert.match(await program.photon(...as, 'node', 'list'), /^c2 +controller +alive +\d{4}-[^ ]+ +Valid/m);
    await program.photon(...as, 'node', 'remove', 'c2', '--reason', 'stolen');
    await until('c2 has ended', () => program.statusOf('c2') !== undefined);
    const remaining = async (): Promise<string> =>
      (await session.call('node.list', {})).nodes.map(({ node }) => node).join();
    await until('c1 does not know it any more', async () => (await remaining()) === 'c1');
    const { revoked } = await session.call('node.list', {});
    assert.equal(
      revoked.map(({ subject, by, reason }) => [subject, by, reason]),
      [
        ['token:operator', 'operator', 'leaked'],
        ['node:c2', 'operator', 'stolen'],
      ],
    );
    assert.match(await program.photon(...as, 'node', 'list'), /^node:c2 .* operator +stolen/m);
    for (let at = 0; at < 8; at += 1) await createTenant(`tenant${at}`, [session]);
    const start = program.photon('controller', '--dir', program.nodeFolder('c2'));
    const { stderr } = await start.then(
      () => assert.unreachable('it must not start') as never,
      (error: { stderr: string }) => error,
    );
    assert.match(stderr, 'c2 was removed from this cluster (stolen)');
    await untilNextSecond();
    await program.photon('node', 'renew', 'c2', '--dir', program.initFolder);
    await program.launch('c2');
    await program.photon('node', 'add', '--controller', 'c3=127.0.0.1', '--dir', program.initFolder);
    await program.givePorts('c3');
    await program.launch('c3');
    const alive = async (): Promise<string> =>
      (await session.call('node.list', {})).nodes.flatMap(({ node, alive: is }) => (is ? [node] : [])).join();
    await until('all are there', async () => (await alive()) === 'c1,c2,c3');
  } finally {
    session.close();
  }
});

function metrics(program: TestProgram, node: string, given?: string): Promise<{ status: number; stdout: string }> {
  const clients = join(program.initFolder, 'clients');
  const { token } = JSON.parse(readFileSync(join(clients, 'operator.json'), 'utf8')) as { token: string };
  const headers = { authorization: `Bearer ${given ?? token}` };
  const { apiListenPort } = configOf(program, node);
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: '127.0.0.1', port: apiListenPort, path: '/metrics', headers, ca: readFileSync(join(clients, 'ca.crt')) },
      (response) => {
        let stdout = '';
        response.on('data', (text: Buffer) => (stdout += text.toString()));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, stdout }));
      },
    );
    asked.on('error', reject);
    asked.end();
  });
}

test.run();
