/** Decisions of a VPC: declaration, claims, changes of networks, ports, routes, deletion. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import type { VpcContext } from './vpc-context.ts';
import { vpcMachine } from './vpc-machine.ts';
import * as given from './vpc-rows-for-tests.ts';
import {
  claim,
  failed,
  heard,
  held,
  host,
  lasting,
  need,
  network,
  passing,
  proven,
  release,
  two,
  view,
  waits,
} from './vpc-rows-for-tests.ts';

const none = { 'location/*': {}, 'peer-member/*': {} };
const endOf = (name: string) => ({ type: 'segment.removed', host: name, heard });
const there = { 'location/10.0.0.9': { port: 'port/t/p', host: 2, groups: [] } };
const nowhere = { 'location/10.0.0.9': null };
const located = { type: 'port.located', port: 'port/t/p', address: '10.0.0.9', host: 2, groups: [] };
const left = { type: 'port.left', port: 'port/t/p', address: '10.0.0.9', host: 2 };
const published = 'segment.publish > segment';
const provided = 'segment.provided > port';
const refused = 'segment.refused > port';
const delayed = 'segment.delayed > port';
const needed = { in: 'ready', on: need(1), to: 'ready' } as const;

const declare = (verb: string, more: object = {}) => ({
  type: `vpc.${verb}`,
  spec: {},
  labels: {},
  protect: false,
  ...more,
});
const waiters = [{ commandId: 'c', result: 'created' }];
const withFailure = (section: 'overlay' | 'networks' | 'routes', failure: typeof lasting) => ({
  segments: { w1: view(1, { [section]: { failure } }) },
});
const owing = (failure: typeof lasting) => ({
  ...withFailure('networks', failure),
  withdrawing: { 'network/t/a': { w1: 3 } },
});
const removing = { ...view(1), removing: true };

const life: readonly Row[] = [
  { in: 'born', on: declare('create'), command: 'c', to: 'claiming', asks: ['defer', 'quota.claim > tenant'] },
  { in: 'born', on: { type: 'vpc.open' }, to: 'claiming', asks: ['quota.claim > tenant'] },
  { in: 'born', on: { type: 'vpc.close' }, to: 'gone', asks: ['quota.release > tenant'] },
  { in: 'claiming', on: { type: 'quota.granted' }, to: 'numbering', asks: ['vni.allocate > cluster'] },
  { in: 'claiming', with: { waiters }, on: { type: 'quota.refused', error: lasting }, to: 'gone', asks: ['reject y'] },
  { in: 'claiming', on: 'quotaDeadline', to: 'claiming', asks: ['quota.claim > tenant'] },
  { in: 'claiming', on: claim(network('a')), to: 'claiming', asks: ['network.refused > network'] },
  { in: 'claiming', on: declare('apply'), command: 'd', to: 'claiming', asks: ['defer'] },
  {
    in: 'claiming',
    with: { waiters },
    on: { type: 'vpc.delete' },
    command: 'd',
    to: 'gone',
    asks: ['reject deleted', 'defer', 'quota.release > tenant', 'reply'],
  },
  {
    in: 'numbering',
    with: { waiters },
    on: { type: 'vni.allocated', vni: 5 },
    to: 'ready',
    asks: ['vpc.opened > tenant', 'reply'],
  },
  { in: 'numbering', on: 'vniDeadline', to: 'numbering', asks: ['vni.allocate > cluster'] },
  { in: 'numbering', on: need(1), to: 'numbering', asks: [refused] },
  {
    in: 'numbering',
    with: { networks: {} },
    on: { type: 'vpc.close' },
    rows: none,
    to: 'gone',
    asks: ['vni.release > cluster', 'quota.release > tenant'],
  },
  { in: 'ready', on: { type: 'vpc.open' }, to: 'ready', asks: ['vpc.opened > tenant'] },
  // Of its spec nothing can differ: only labels and protection change.
  { in: 'ready', on: declare('create'), command: 'c', to: 'ready', asks: ['reply'] },
  { in: 'ready', on: declare('apply'), command: 'c', to: 'ready', asks: ['reply'] },
  { in: 'ready', on: declare('apply', { labels: { a: 'b' } }), command: 'c', to: 'ready', asks: ['reply'] },
  {
    in: 'ready',
    on: declare('create', { labels: { a: 'b' } }),
    command: 'c',
    to: 'ready',
    asks: ['reject exists_differently'],
  },
  {
    in: 'ready',
    with: { protect: true },
    on: { type: 'vpc.delete' },
    command: 'c',
    to: 'ready',
    asks: ['reject protected'],
  },
  { in: 'ready', on: { type: 'vpc.delete' }, command: 'c', to: 'ready', asks: ['reject in_use'] },
  { in: 'ready', on: { type: 'vpc.close' }, to: 'ready', asks: [] },
  {
    in: 'ready',
    with: { networks: {} },
    on: { type: 'vpc.delete' },
    command: 'c',
    rows: none,
    to: 'gone',
    asks: ['defer', 'vni.release > cluster', 'quota.release > tenant', 'reply'],
  },
  {
    in: 'removing',
    with: { segments: { w1: view(1) } },
    on: endOf('w1'),
    rows: none,
    to: 'gone',
    asks: ['vni.release > cluster', 'quota.release > tenant'],
  },
  {
    in: 'removing',
    with: { segments: { w1: view(1) } },
    on: 'removeDeadline',
    to: 'removing',
    asks: ['segment.withdraw > segment'],
  },
  { in: 'removing', with: two, on: need(1), to: 'removing', asks: [refused] },
  { in: 'removing', with: two, on: claim(network('b')), to: 'removing', asks: ['network.refused > network'] },
  { in: 'removing', with: two, on: declare('create'), command: 'c', to: 'removing', asks: ['reject name_busy'] },
];

test('creation, changes and deletion of a VPC', () => {
  assert.equal(disagreements(vpcMachine, held, life), []);
});

const claimed = ['network.claimed > network', 'network.realized > network'];
const overlapping = [{ name: 's', cidr: '10.0.0.128/25', gateway: '10.0.0.129' }];
const faster = { ...network('a').dhcp, leaseSeconds: 120 };

const networks: readonly Row[] = [
  // No host has it: realized at once.
  { in: 'ready', on: claim(network('b')), to: 'ready', asks: claimed },
  { in: 'ready', on: claim(network('a')), to: 'ready', asks: claimed },
  {
    in: 'ready',
    on: claim(network('b', { subnets: overlapping })),
    to: 'ready',
    asks: ['network.refused > network'],
  },
  // Published to every host that has the network, and to no other.
  {
    in: 'ready',
    with: { segments: { w1: view(1), w2: view(2, {}, []), w3: view(3) } },
    on: claim(network('a', { dhcp: faster }), 2),
    to: 'ready',
    asks: ['network.claimed > network', published, published],
  },
  // An unchanged claim changes nothing.
  { in: 'ready', with: two, on: claim(network('a')), to: 'ready', asks: claimed },
  {
    in: 'ready',
    with: { withdrawing: { 'network/t/a': { w1: 3 } } },
    on: claim(network('a')),
    to: 'ready',
    asks: ['network.refused > network'],
  },
  {
    in: 'ready',
    with: two,
    on: release('a'),
    rows: none,
    to: 'ready',
    asks: ['segment.withdraw > segment', 'segment.withdraw > segment'],
  },
  { in: 'ready', on: release('a'), rows: none, to: 'ready', asks: ['network.withdrawn > network'] },
  { in: 'ready', on: release('z'), rows: none, to: 'ready', asks: ['network.withdrawn > network'] },
  // A repeated claim is published again only to a segment with a permanent failure.
  { in: 'ready', with: owing(lasting), on: release('a'), rows: none, to: 'ready', asks: [published] },
  { in: 'ready', with: owing(passing), on: release('a'), rows: none, to: 'ready', asks: [] },
];

test('networks are claimed, changed in place and released', () => {
  assert.equal(disagreements(vpcMachine, held, networks), []);
});

const wide = (mtu: number) => ({ networks: { 'network/t/a': given.known(network('a', { mtu })) } });

const ports: readonly Row[] = [
  { in: 'ready', on: need(1), rows: none, to: 'ready', asks: [published] },
  { in: 'ready', with: two, on: need(1), to: 'ready', asks: [provided] },
  // The other host gets a peer.
  {
    in: 'ready',
    with: { segments: { w2: view(2) } },
    on: need(1),
    rows: none,
    to: 'ready',
    asks: [published, published],
  },
  { in: 'ready', with: two, on: need(1, 'b'), to: 'ready', asks: [refused] },
  // A frame that the underlay of any host of the VPC cannot carry, the network's or one that is already there.
  { in: 'ready', with: wide(1551), on: need(1), to: 'ready', asks: [refused] },
  { in: 'ready', with: wide(1550), on: need(1), rows: none, to: 'ready', asks: [published] },
  {
    in: 'ready',
    with: { segments: { w2: view(2) } },
    on: { ...need(1), host: { ...host(1), underlayMtu: 1499 } },
    to: 'ready',
    asks: [refused],
  },
  // In progress: the port waits. At a repeated request, unproven sections are published again.
  { in: 'ready', with: { segments: { w1: view(1, { networks: { proven: 1 } }) } }, on: need(1), to: 'ready', asks: [] },
  {
    in: 'ready',
    with: { segments: { w1: view(1, { networks: { proven: 1 } }) }, waiting: waits() },
    on: need(1),
    rows: none,
    to: 'ready',
    asks: [published],
  },
  { ...needed, with: withFailure('routes', lasting), rows: none, asks: [published, delayed] },
  { in: 'ready', with: withFailure('routes', passing), on: need(1), to: 'ready', asks: [delayed] },
  // A port waits for sections that were never proven, but not for routes added since.
  { ...needed, with: { segments: { w1: view(1, { routes: { published: 9 } }) } }, asks: [provided] },
  { in: 'ready', with: { segments: { w1: view(1, { routes: { proven: 0 } }) } }, on: need(1), to: 'ready', asks: [] },
  { in: 'ready', with: { segments: { w1: removing } }, on: need(1), rows: none, to: 'ready', asks: [] },
  // Another host of the same name: it gets everything.
  {
    in: 'ready',
    with: { segments: { w1: view(1) } },
    on: { ...need(1), host: { ...host(1), underlay: '192.0.2.9' } },
    rows: none,
    to: 'ready',
    asks: [published],
  },
  {
    in: 'ready',
    with: { segments: { w1: view(1, { networks: { proven: 1 } }) }, waiting: waits() },
    on: proven(1, { networks: 2 }),
    to: 'ready',
    asks: [provided],
  },
  {
    in: 'ready',
    with: { segments: { w1: view(1, { networks: { proven: 0 } }) }, waiting: waits() },
    on: proven(1, { networks: 1 }),
    to: 'ready',
    asks: [],
  },
  // The segment tries again by itself; its ports keep waiting and know why.
  { in: 'ready', with: { ...two, waiting: waits() }, on: failed(1, passing), to: 'ready', asks: [delayed] },
  { in: 'ready', with: { ...two, waiting: waits() }, on: failed(1, lasting), to: 'ready', asks: [refused] },
  { in: 'ready', with: { ...two, waiting: waits() }, on: failed(1, lasting, null), to: 'ready', asks: [refused] },
  {
    in: 'ready',
    with: { segments: { w1: removing, w2: view(2) } },
    on: endOf('w1'),
    rows: none,
    to: 'ready',
    // It is no peer since its removal began; see below.
    asks: [],
  },
  {
    in: 'ready',
    with: { segments: { w1: removing }, waiting: waits() },
    on: endOf('w1'),
    rows: none,
    to: 'ready',
    asks: [published],
  },
  // Requested again since it ended with its host: the next segment starts empty.
  { in: 'ready', with: two, on: endOf('w1'), rows: none, to: 'ready', asks: [published] },
  { in: 'ready', with: two, on: endOf('w9'), rows: none, to: 'ready', asks: [] },
];

test('ports get their network on a host by its proof', () => {
  assert.equal(disagreements(vpcMachine, held, ports), []);
});

const routes: readonly Row[] = [
  { in: 'ready', with: two, on: located, rows: nowhere, to: 'ready', asks: ['put location', published] },
  { in: 'ready', with: two, on: located, rows: there, to: 'ready', asks: [] },
  {
    in: 'ready',
    with: two,
    on: { ...located, host: 1 },
    rows: there,
    to: 'ready',
    asks: ['put location', published, published],
  },
  { in: 'ready', with: two, on: left, rows: there, to: 'ready', asks: ['remove location', published] },
  { in: 'ready', with: two, on: { ...left, host: 1 }, rows: there, to: 'ready', asks: [] },
  { in: 'ready', with: two, on: left, rows: nowhere, to: 'ready', asks: [] },
];

test('an address that is somewhere else is a route', () => {
  assert.equal(disagreements(vpcMachine, held, routes), []);
});

const after = (context: object, row: Omit<Row, 'in' | 'to'>) =>
  decided(vpcMachine, context, { in: 'ready', to: '', ...row });

test('a VPC is declared: answered with its number, ready once it has it, labels without a new generation', () => {
  const born = decided(
    vpcMachine,
    { ...held, spec: null, generation: 0, uid: '' },
    {
      in: 'born',
      on: declare('create', { labels: { team: 'a' } }),
      command: 'c',
      to: '',
    },
  );
  assert.equal([born.context['generation'], born.context['labels']], [1, { team: 'a' }]);
  const start = { ...born.context, observedGeneration: 0 };
  const made = decided(vpcMachine, start, { in: 'numbering', on: { type: 'vni.allocated', vni: 7 }, to: '' });
  const [, answer] = made.asked.map(({ params }) => params as { result?: unknown });
  assert.equal(answer?.result, { uid: 'U2', generation: 1, result: 'created', vni: 7 });
  assert.is(made.context['observedGeneration'], 1);
  const ready = (made.context['conditions'] as VpcContext['conditions']).find(({ type }) => type === 'Ready');
  assert.equal([ready?.status, ready?.reason], ['True', 'Ready']);
  const named = after(made.context, { on: declare('apply', { labels: { team: 'b' } }), command: 'd' });
  assert.equal([named.context['generation'], named.context['labels']], [1, { team: 'b' }]);
  // What the tenant opens is what an empty declaration makes.
  const opened = decided(
    vpcMachine,
    { ...held, spec: null, generation: 0 },
    { in: 'born', on: { type: 'vpc.open' }, to: '' },
  );
  assert.equal([opened.context['spec'], opened.context['generation']], [{}, 1]);
});

test('CIDRs are free only when every host that had the network has proven its absence', () => {
  const start = {
    ...held,
    networks: { ...held.networks, 'network/t/b': given.known(network('b')) },
    segments: { w1: view(1, {}, ['a', 'b']), w2: view(2) },
  };
  const first = after(start, { on: release('a'), rows: none });
  // w2 removes its segment; w1 removes the network, and w2 as a peer.
  assert.equal(first.asks, [published, 'segment.withdraw > segment']);
  const late = after(first.context, { on: proven(1, { networks: 2 }) });
  assert.equal(late.asks, [], 'an old proof proves nothing');
  const second = after(late.context, { on: proven(1, { networks: 3 }) });
  assert.equal(second.asks, []);
  assert.equal(Object.keys(second.context['networks'] as object), ['network/t/a', 'network/t/b']);
  const third = after(second.context, { on: endOf('w2'), rows: none });
  assert.equal(third.asks, ['network.withdrawn > network']);
  assert.equal(Object.keys(third.context['networks'] as object), ['network/t/b']);
});

test('a network is realized once every host that has it has proven it; it gets the failure of one that cannot', () => {
  const changed = after({ ...held, ...two }, { on: claim(network('a', { dhcp: faster }), 2) });
  assert.equal(changed.asks, ['network.claimed > network', published, published]);
  const one = after(changed.context, { on: proven(1, { networks: 3 }) });
  assert.equal(one.asks, []);
  const slow = after(one.context, { on: failed(2, passing) });
  assert.equal(slow.asks, ['network.delayed > network']);
  assert.equal((slow.asked[0]?.params as { event: object }).event, {
    type: 'network.delayed',
    generation: 2,
    host: 'w2',
    error: passing,
  });
  // A later failure of a host that has proven it does not delay it.
  assert.equal(after(one.context, { on: failed(1, passing, 'routes') }).asks, []);
  const both = after(slow.context, { on: proven(2, { networks: 3 }) });
  assert.equal(both.asks, ['network.realized > network']);
  assert.equal((both.asked[0]?.params as { event: object }).event, { type: 'network.realized', generation: 2 });
  assert.equal(after(both.context, { on: proven(2, { networks: 3 }) }).asks, [], 'reported once');
});

test('a newer spec replaces one that is not proven yet', () => {
  const second = after({ ...held, ...two }, { on: claim(network('a', { dhcp: faster }), 2) });
  const third = after(second.context, { on: claim(network('a', { dhcp: { ...faster, leaseSeconds: 90 } }), 3) });
  const early = after(third.context, { on: proven(1, { networks: 3 }) });
  const still = after(early.context, { on: proven(2, { networks: 3 }) });
  assert.equal([early.asks, still.asks], [[], []]);
  const one = after(still.context, { on: proven(1, { networks: 4 }) });
  const both = after(one.context, { on: proven(2, { networks: 4 }) });
  assert.equal((both.asked[0]?.params as { event: object }).event, { type: 'network.realized', generation: 3 });
});

test('its last host gone, a network that waited for that host only is realized', () => {
  const changed = after({ ...held, segments: { w1: view(1) } }, { on: claim(network('a', { dhcp: faster }), 2) });
  const gone = {
    ...failed(1, { code: 'host_gone', message: 'gone', retryable: false }, null),
    heard: { ...heard, networks: 3 },
  };
  assert.equal(after(changed.context, { on: gone, rows: none }).asks, ['network.realized > network']);
});

test.run();
