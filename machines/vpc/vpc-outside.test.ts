/** What the way out of a VPC rules out: networks that overlap the one outside, and a second way to everywhere. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, type Row } from '../values/decision-table-for-tests.ts';
import type { VpcContext } from './vpc-context.ts';
import { vpcMachine } from './vpc-machine.ts';
import { claim, held, host, network, two } from './vpc-rows-for-tests.ts';

const [router, other] = ['router/t/r', 'router/t/other'];
const onTwo = { ...held, ...two };

function step(context: object, on: Row['on'], from: string) {
  const rows = { 'location/*': {}, 'peer-member/*': {} };
  const { asked, context: after } = decided(vpcMachine, context, { in: 'ready', rows, on, from, to: 'ready' });
  const sent = asked.flatMap(({ type, params }) =>
    type === 'send' ? [(params as { event: Record<string, unknown> }).event] : [],
  );
  const refusals = sent.flatMap((event): (readonly unknown[])[] => {
    const { code, message } = (event['error'] ?? {}) as { code?: string; message?: string };
    return code === undefined ? [] : [[code, ...(event['path'] === undefined ? [] : [event['path']]), message]];
  });
  const ranges = sent.find(({ type }) => type === 'reach.told')?.['ranges'];
  return { refusals, ranges, after: after as unknown as VpcContext };
}

const gateway = (cidr: string, active = 1) => ({
  type: 'element.put',
  section: 'gateway',
  key: 'default',
  element: {
    network: 'external-network/system/public',
    cidr,
    upstream: null,
    interface: 'eth1',
    mtu: 1_500,
    gateways: [host(1)],
    active,
    snat: null,
  },
  generation: active,
  hosts: [host(1)],
});
const route = (destination: string) => ({
  type: 'element.put',
  section: 'static-routes',
  key: destination,
  element: { via: null },
  generation: 1,
});
const subnet = (cidr: string) => [{ name: 's', cidr, gateway: cidr.replace('.0/', '.1/').split('/')[0] ?? '' }];

test('no network overlaps the external network that the VPC is left through', () => {
  const led = step(onTwo, gateway('203.0.113.0/24'), router);
  assert.equal(led.refusals, []);
  const claimed = (cidr: string) => step(led.after, claim(network('b', { subnets: subnet(cidr) })), 'network/t/b');
  for (const cidr of ['203.0.113.0/24', '203.0.0.0/16', '203.0.113.0/26'])
    assert.equal(claimed(cidr).refusals, [
      [
        'cidr_overlap',
        'spec.subnets.0.cidr',
        `${cidr} overlaps 203.0.113.0/24 of external-network/system/public, which router/t/r leads to; ` +
          'choose another range',
      ],
    ]);
  assert.equal(claimed('203.0.112.0/24').refusals, []);
});

test('a way out through a network that overlaps one of the VPC is not taken; one that stands may move', () => {
  const refused = step(onTwo, gateway('10.0.0.0/16'), router);
  assert.equal(refused.refusals, [
    [
      'cidr_overlap',
      '10.0.0.0/16 of external-network/system/public overlaps 10.0.0.0/24 of network/t/a; ' +
        'name another external network, or renumber the network of the VPC',
    ],
  ]);
  assert.is(refused.after.elements['gateway'], undefined);
  const before = step({ ...onTwo, networks: {} }, gateway('10.0.0.0/16'), router).after;
  const stood = { ...before, networks: onTwo.networks };
  assert.equal(step(stood, gateway('10.0.0.0/16', 2), router).refusals, []);
});

test('neither does a network of a peered VPC: each side is told of the other', () => {
  const peering = 'peering/t/ab';
  const element = { peer: 'vpc/t/b', cidrs: ['10.9.0.0/24'], taken: [], mtu: 1_500, hosts: ['w1'] };
  const put = { type: 'element.put', section: 'peerings', key: peering, element, generation: 1 };
  const joined = step(onTwo, put, peering).after;
  assert.equal(step(joined, gateway('10.9.0.0/16'), router).refusals, [
    [
      'cidr_overlap',
      '10.9.0.0/16 of external-network/system/public overlaps 10.9.0.0/24 of vpc/t/b; ' +
        'name another external network, or renumber the network of the VPC',
    ],
  ]);
  const followed = step(joined, { type: 'reach.follow' }, peering).after;
  const led = step(followed, gateway('203.0.113.0/24'), router);
  assert.equal(led.refusals, []);
  const own = { cidr: '10.0.0.0/24', by: 'network/t/a' };
  assert.equal(led.ranges, [own, { cidr: '203.0.113.0/24', by: router }]);
  const left = step(led.after, { type: 'element.remove', section: 'gateway', key: 'default' }, router);
  assert.equal(left.ranges, [own]);
});

test('a VPC has one way to everywhere: a second router with another one is told whose there is', () => {
  const led = step(onTwo, gateway('203.0.113.0/24'), router).after;
  assert.equal(step(led, route('0.0.0.0/0'), other).refusals, [
    ['way_taken', 'router/t/r leads out of vpc/t/main already, through its external network; leave out one of the two'],
  ]);
  assert.equal(step(led, route('0.0.0.0/1'), other).refusals, [], 'a more specific route goes before it');
  const routed = step(onTwo, route('0.0.0.0/0'), other).after;
  assert.equal(step(routed, gateway('203.0.113.0/24'), router).refusals, [
    [
      'way_taken',
      'router/t/other leads out of vpc/t/main already, by its route to 0.0.0.0/0; leave out one of the two',
    ],
  ]);
  const remove = { type: 'element.remove', section: 'static-routes', key: '0.0.0.0/0' };
  assert.equal(step(step(routed, remove, other).after, gateway('203.0.113.0/24'), router).refusals, []);
  // A router that changes from the one to the other is not in its own way.
  assert.equal(step(routed, gateway('203.0.113.0/24'), other).refusals, []);
});

test.run();
