/**
 * What nix/cluster declares is right, what is wrong in such a file is named with its path, all of it at once, and the
 * programs of the nodes start in the order of what they need.
 */
import { join } from 'node:path';
import { readAllDocuments } from '@photoncloud/actors/photon/cli/document-schema';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkout } from '../cluster/photon-commands.ts';
import { bootOrder, checkCluster, holdersOf, nodesOf, readCluster } from './declared-cluster.ts';

type Change = (cluster: ReturnType<typeof asDeclared>) => void;

/** The declared cluster as it is in the file, to be changed. */
const asDeclared = () => {
  const { order: _, ...rest } = readCluster();
  return structuredClone(rest);
};

/** The lines of the refusal of a changed cluster. */
function refusalOf(change: Change): string[] {
  const changed = asDeclared();
  change(changed);
  try {
    checkCluster(changed, 'it');
  } catch (error) {
    return String(error)
      .replace('Error: it is not right:\n', '')
      .split(/\n(?=✖)/)
      .map((text) => text.replace(/\s+/g, ' '));
  }
  return [];
}

test('the declared cluster: three controllers with the store, two workers, a gateway with storage', () => {
  const cluster = readCluster();
  assert.equal(nodesOf(cluster, 'controller'), ['node01', 'node02', 'node03']);
  assert.equal(nodesOf(cluster, 'redis-sentinel'), ['node01', 'node02', 'node03']);
  assert.equal(holdersOf(cluster, 'worker'), ['node04', 'node05']);
  assert.equal([holdersOf(cluster, 'gateway'), holdersOf(cluster, 'storage')], [['node06'], ['node06']]);
});

test('the external networks of its documents are led by gateways, over the uplink that these have', () => {
  const cluster = readCluster();
  const paths = cluster.documents.map((path) => join(checkout, path));
  const external = readAllDocuments(paths, undefined).filter(
    ({ kind }) => kind === 'external-network',
  ) as unknown as readonly { readonly spec: { readonly hosts: readonly string[]; readonly interface: string } }[];
  assert.is(external.length, 1);
  for (const { spec } of external)
    for (const host of spec.hosts) assert.is(cluster.nodes[host]?.uplink, spec.interface, host);
});

test('programs start in groups: each needs only what earlier groups have, and a node is named once in a group', () => {
  const words = readCluster().order.map((group) => group.map(({ node, program }) => `${node} ${program}`).join(', '));
  assert.equal(words, [
    'node01 redis-sentinel, node02 redis-sentinel, node03 redis-sentinel',
    'node01 controller, node02 controller, node03 controller',
    'node04 worker, node05 worker, node06 worker',
  ]);
});

test('a role that needs another one waits for every node that holds it, and not for its own node', () => {
  const cluster = asDeclared();
  cluster.roles['worker'] = { program: 'worker', needs: ['controller', 'gateway', 'worker'] };
  cluster.nodes['node04'] = { address: '192.0.2.4', roles: ['worker', 'gateway'], uplink: 'ext' };
  delete cluster.nodes['node05'];
  const nodes = bootOrder(cluster).map((group) => group.map(({ node }) => node));
  assert.equal(nodes.slice(2), [['node06'], ['node04']]);
});

const cases: readonly (readonly [string, Change, readonly RegExp[]])[] = [
  [
    'nodes that wait for each other',
    ({ roles }) => void roles['controller']?.needs.push('worker'),
    [/these wait for each other: node01 \(controller\).*node06 \(gateway, storage\) → at roles$/],
  ],
  [
    'an unknown role, in a node and in what a role needs',
    ({ roles, nodes }) => {
      roles['worker']?.needs.push('dns');
      nodes['node05']?.roles.push('dns');
    },
    [
      /there is no role dns → at roles\.worker\.needs\[1\]$/,
      /there is no role dns; roles are store, controller, storage, gateway, worker → at nodes\.node05\.roles\[1\]$/,
    ],
  ],
  [
    'an address twice, and one that is no host of the underlay',
    ({ nodes }) => {
      nodes['node02'] = { address: '192.0.2.1', roles: ['store', 'controller'] };
      nodes['node05'] = { address: '192.0.2.255', roles: ['worker'] };
    },
    [/node01 has 192\.0\.2\.1, too → at nodes\.node02/, /192\.0\.2\.255 is no address of a host in 192\.0\.2\.0\/24/],
  ],
  [
    'a store of two',
    ({ nodes }) => void (nodes['node03'] = { address: '192.0.2.3', roles: ['controller'] }),
    [/2 nodes hold the store; it needs 3 → at nodes$/],
  ],
  [
    'an underlay that is none',
    (cluster) => void (cluster.underlay = '192.0.2.0'),
    [/must be an IPv4 network.*underlay$/],
  ],
  [
    'a gateway without an uplink, and an uplink without a gateway',
    ({ nodes }) => {
      nodes['node06'] = { address: '192.0.2.6', roles: ['gateway', 'storage'] };
      nodes['node05'] = { address: '192.0.2.5', roles: ['worker'], uplink: 'ext' };
    },
    [/only a gateway has an uplink → at nodes\.node05/, /a gateway needs an uplink → at nodes\.node06\.uplink$/],
  ],
  [
    'a controller that is a worker',
    ({ nodes }) => void nodes['node01']?.roles.push('worker'),
    [/a node is a controller or a worker, not both/],
  ],
  [
    'a document that is not there',
    ({ tenants }) => void tenants['acme']?.documents.push('docs/absent.yaml'),
    [/docs\/absent\.yaml does not exist → at tenants\.acme\.documents\[1\]$/],
  ],
  ['an unknown field', (cluster) => void Object.assign(cluster, { node: {} }), [/Unrecognized key: "node"/]],
];

for (const [name, change, expected] of cases) {
  test(`refused: ${name}`, () => {
    const lines = refusalOf(change);
    assert.is(lines.length, expected.length, lines.join('\n'));
    for (const [at, pattern] of expected.entries()) assert.match(lines[at] ?? '', pattern);
  });
}

test.run();
