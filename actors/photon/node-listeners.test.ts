/** Which sockets a node of a role takes, and which ports the kernel may give to others. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { nodeConfigSchema, type NodeConfig } from './node-config.ts';
import { isOutgoing, nodeListeners } from './node-listeners.ts';

const config = (role: NodeConfig['role']): NodeConfig =>
  nodeConfigSchema.parse({
    cluster: 'unit',
    node: 'n1',
    role,
    address: '192.0.2.1',
    peerListenPort: 7443,
    apiListenPort: 7444,
    store: { address: '192.0.2.1', listenPort: 6379 },
    kernelPrefix: 'abcd',
  });
const given = (...names: readonly string[]) => ({
  LISTEN_PID: '7',
  LISTEN_FDS: String(names.length),
  LISTEN_FDNAMES: names.join(':'),
});

test('a node takes the sockets that its role declares, in whatever order they are given', () => {
  const listeners = nodeListeners(config('controller'), given('api', 'peer'), 7);
  assert.equal(
    [...listeners.values()].map(({ name, listenPort, descriptor }) => [name, listenPort, descriptor]),
    [
      ['peer', 7443, 4],
      ['api', 7444, 3],
    ],
  );
  assert.is(nodeListeners(config('worker'), {}, 7).get('peer')?.descriptor, undefined);
});

test('a node refuses other sockets than it declares: one too few, one too many, another name', () => {
  for (const [role, names] of [
    ['controller', ['peer']],
    ['worker', ['peer', 'api']],
    ['worker', ['photoncloud-worker.socket']],
    ['store', ['peer']],
  ] as const)
    assert.throws(() => nodeListeners(config(role), given(...names), 7), /was given sockets named/);
});

test('a port is outgoing when it is in the range of this host and not reserved', () => {
  const of = (range: string, reserved: string) => (name: string) => (name === 'ip_local_port_range' ? range : reserved);
  assert.equal(
    [32_767, 32_768, 60_999, 61_000].map((one) => isOutgoing(one, of('32768\t60999', ''))),
    [false, true, true, false],
  );
  const wide = of('1024\t65535', '7443-7444,8080');
  assert.equal(
    [7442, 7443, 7444, 7445, 8080].map((one) => isOutgoing(one, wide)),
    [true, false, false, true, false],
  );
});

test.run();
