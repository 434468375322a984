/**
 * What the programs of a store node are told at a start, by what they have written before, and which hosts a store may
 * have. That the real programs do so: cluster-tests/nix/nix-store.test.ts.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { initCluster } from './cluster-init.ts';
import { openNodeFolder, storeUrlOf } from './node-config.ts';
import { followedBy, redisConfiguration, sentinelConfiguration, type ServerPlan } from './store-configuration.ts';

const folder = mkdtempSync(join(tmpdir(), 'photon-store-hosts-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

/** @param stores addresses; the nodes are s1, s2 ... */
const init = (name: string, stores: readonly string[]): Promise<void> =>
  initCluster({
    folder: join(folder, name),
    cluster: 'lab',
    nodes: [
      ...stores.map((address, at) => ({ node: `s${at + 1}`, role: 'store', address }) as const),
      { node: 'c1', role: 'controller', address: '192.0.2.9' },
    ],
    allowedRoots: [],
    allowedSources: [],
    tenants: [],
    listenPorts: { store: 6379, sentinel: 26_379, peer: 7443, api: 7444 },
  });
const opened = (name: string, node: string) => openNodeFolder(join(folder, name, 'nodes', node));
const three = ['192.0.2.1', '192.0.2.2', '192.0.2.3'];
let plan: ServerPlan;
test.before(async () => {
  await init('three', three);
  await init('one', three.slice(0, 1));
  plan = { config: opened('three', 's2').config, home: '/h', password: 'secret' };
});

const codeOf = (error: unknown): string => (error instanceof PhotonError ? error.record.code : String(error));

test('an even number of hosts, and two at one address, are refused; nothing is made then', async () => {
  for (const [name, stores] of [
    ['two', three.slice(0, 2)],
    ['twice', ['192.0.2.1', '192.0.2.2', '192.0.2.1']],
    ['none', []],
  ] as const)
    assert.is(await init(name, stores).catch(codeOf), name === 'none' ? 'no_store' : 'store_hosts', name);
  assert.throws(() => opened('two', 'c1'), /cannot be read/);
});

test('every node is told of all Sentinels, and a commit waits for most of the servers', () => {
  const { config } = opened('three', 'c1');
  assert.equal(
    config.store.sentinels.map(({ address }) => address),
    three,
  );
  assert.is(config.store.replicas, 1);
  const hosts = three.map((address) => `${address}:26379`).join(',');
  assert.match(storeUrlOf(opened('three', 'c1'), undefined), new RegExp(`@${hosts}/lab\\?sentinelUser=c1&`));
  assert.match(storeUrlOf(opened('one', 'c1'), undefined), /^redis:\/\/c1:[^@]+@192\.0\.2\.1:6379$/);
  assert.equal(opened('one', 'c1').config.store.sentinels, []);
});

test('a server follows whom most Sentinels name, else whom it followed before, at first the first host', () => {
  const before = 'port 6379\nreplicaof 192.0.2.3 6379\n';
  const wasPrimary = 'port 6379\n';
  const follows = (named?: string, file?: string): string | undefined => followedBy(plan.config, named, file)?.address;
  assert.is(follows(), '192.0.2.1');
  assert.is(follows(undefined, before), '192.0.2.3');
  assert.is(follows(undefined, wasPrimary), undefined);
  assert.is(follows('192.0.2.3:6379', wasPrimary), '192.0.2.3', 'it was replaced while it was away');
  assert.is(follows('192.0.2.2:6379', before), undefined, 'it is the primary');
  assert.is(followedBy(opened('three', 's1').config, undefined, undefined), undefined);
});

test('a primary takes no writes without a replica; a server alone has no replication at all', () => {
  const text = redisConfiguration(plan, 1_000, { address: '192.0.2.1', listenPort: 6379 });
  for (const line of ['bind 192.0.2.2', 'min-replicas-to-write 1', 'replicaof 192.0.2.1 6379', 'appendfsync always'])
    assert.match(text, new RegExp(`^${line}$`, 'm'));
  const alone = redisConfiguration({ ...plan, config: opened('one', 's1').config }, 1_000, undefined);
  assert.match(alone, /^bind 127\.0\.0\.1 192\.0\.2\.1$/m);
  assert.not.match(alone, /repl|master/);
});

test('a Sentinel keeps who it is and what it knows of declared hosts, and learns every replica at once', () => {
  const first = sentinelConfiguration(plan, 26_379, '');
  assert.match(first, /^sentinel monitor lab 192\.0\.2\.1 6379 2$/m);
  assert.equal(first.match(/known-replica lab \S+/g), ['known-replica lab 192.0.2.2', 'known-replica lab 192.0.2.3']);
  const written = [
    'sentinel myid 0123',
    'sentinel current-epoch 7',
    'sentinel monitor lab 192.0.2.3 6379 2',
    'sentinel config-epoch lab 7',
    'sentinel leader-epoch lab 7',
    'sentinel known-sentinel lab 192.0.2.1 26379 aaaa',
    'sentinel known-sentinel lab 192.0.2.8 26379 bbbb',
    'sentinel auth-pass lab former',
  ];
  const second = sentinelConfiguration(plan, 26_379, written.join('\n'));
  for (const line of [0, 1, 2, 3, 4, 5]) assert.ok(second.includes(`${written[line]}\n`), written[line]);
  assert.not.match(second, /192\.0\.2\.8|former/);
  assert.match(second, /known-replica lab 192\.0\.2\.1 6379/);
  const ofAnother = sentinelConfiguration(plan, 26_379, 'sentinel monitor lab 192.0.2.8 6379 2\n');
  assert.match(ofAnother, /^sentinel monitor lab 192\.0\.2\.1 6379 2$/m);
});

test.run();
