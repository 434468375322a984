/** Decisions of a router: examined before it is in force, published by difference, followed, taken off all hosts. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { laggingHosts, type RouterContext } from './router-context.ts';
import { routerMachine } from './router-machine.ts';
import * as r from './router-rows-for-tests.ts';
import { problemsOf } from './router-spec.ts';

const waiting = { waiters: [{ commandId: 'c', result: 'created' }] };
const surveyed = { ranges: r.ranges, hops: r.held.hops };
const put = 'element.put > vpc';
const removed = (section: string, key: string) => ({ type: 'element.removed', section, key });
const error = { code: 'x', message: 'x', retryable: false };
const refused = (change: object = {}) => ({
  type: 'external.refused',
  network: r.network,
  field: 'address',
  error: { ...error, code: 'address_taken' },
  ...change,
});
const realized = (section: string, key: string, generation: number) => ({
  type: 'element.realized',
  section,
  key,
  generation,
});
const confirm = { type: 'external.confirm' };
const inProposal = { proposed: { spec: r.specOf({ routes: [] }), labels: {}, protect: false } };

const rows: readonly Row[] = [
  {
    in: 'born',
    with: r.fresh,
    on: r.declare('create'),
    command: 'c',
    to: 'claiming',
    asks: ['defer', 'quota.claim > tenant'],
  },
  {
    in: 'born',
    with: { spec: null },
    on: confirm,
    from: r.network,
    to: 'gone',
    asks: ['external.release > external-network'],
  },
  {
    in: 'claiming',
    with: r.fresh,
    on: { type: 'quota.granted' },
    to: 'surveying',
    asks: ['ranges.watch > vpc', 'port.follow > port'],
  },
  { in: 'surveying', with: r.fresh, on: r.told, to: 'surveying', asks: [] },
  {
    in: 'surveying',
    with: { ...r.fresh, ranges: r.ranges },
    on: r.found,
    to: 'joining.asking',
    asks: ['external.claim > external-network'],
  },
  {
    in: 'surveying',
    with: { ...r.fresh, ...waiting, ranges: r.ranges },
    on: r.lost,
    to: 'gone',
    asks: ['reject next_hop_missing', 'ranges.unwatch > vpc', 'port.unfollow > port', 'quota.release > tenant'],
  },
  {
    in: 'surveying',
    with: { ...r.fresh, ...waiting },
    on: { ...r.told, ranges: null },
    to: 'gone',
    asks: ['reject vpc_not_found', 'ranges.unwatch > vpc', 'port.unfollow > port', 'quota.release > tenant'],
  },
  { in: 'surveying', with: { ...r.fresh, tries: 6 }, on: 'surveyDeadline', to: 'gone' },
  {
    in: 'surveying',
    with: r.fresh,
    on: 'surveyDeadline',
    to: 'surveying',
    asks: ['ranges.watch > vpc', 'port.follow > port'],
  },
  {
    in: 'joining.asking',
    with: { ...r.fresh, ...surveyed, ...waiting },
    on: r.granted,
    to: 'ready',
    asks: ['reply', put, put, put],
  },
  {
    in: 'joining.asking',
    with: { ...r.fresh, ...surveyed, ...waiting },
    on: refused(),
    to: 'gone',
    asks: [
      'reject address_taken',
      'external.release > external-network',
      'ranges.unwatch > vpc',
      'port.unfollow > port',
      'quota.release > tenant',
    ],
  },
  {
    in: 'joining.asking',
    with: { ...r.fresh, ...surveyed },
    on: refused({ error: { ...error, retryable: true } }),
    to: 'joining.waiting',
    asks: [],
  },
  // A route into the external network itself is seen only now.
  {
    in: 'joining.asking',
    with: {
      ...r.fresh,
      ...surveyed,
      ...waiting,
      spec: r.specOf({ routes: [{ destination: '203.0.113.64/26', via: 'blackhole' }] }),
    },
    on: r.granted,
    to: 'gone',
  },

  // The gateway host that leads is another one: one element changes, and the VPC is told once.
  { in: 'ready', on: r.changed({ active: 2 }), to: 'ready', asks: [put] },
  { in: 'ready', on: r.changed(), to: 'ready', asks: [] },
  { in: 'ready', on: r.changed({ active: null }), to: 'degraded', asks: [put] },
  { in: 'ready', on: r.lost, to: 'degraded', asks: [put] },
  { in: 'ready', on: { ...r.told, ranges: [] }, to: 'degraded', asks: [] },
  {
    in: 'ready',
    on: { type: 'element.delayed', section: 'gateway', key: 'default', generation: 3, host: 'w1', error },
    to: 'degraded',
  },
  { in: 'degraded', on: 'review', to: 'ready' },
  {
    in: 'degraded',
    with: { hops: { [r.vpn]: null } },
    on: 'review',
    to: 'degraded',
    asks: ['ranges.watch > vpc', 'port.follow > port', put],
  },
  { in: 'degraded', with: { hops: { [r.vpn]: null } }, on: r.found, to: 'ready' },

  // Changes: nothing of the new declaration is in force before all of it fits.
  {
    in: 'ready',
    on: r.declare('update', { routes: [] }),
    command: 'd',
    to: 'ready',
    asks: [
      'defer',
      'ranges.watch > vpc',
      'port.unfollow > port',
      'reply',
      'element.remove > vpc',
      'element.remove > vpc',
    ],
  },
  {
    in: 'ready',
    on: r.declare('update', { routes: [{ destination: '10.0.0.0/25', via: 'blackhole' }] }),
    command: 'd',
    to: 'ready',
    asks: ['defer', 'ranges.watch > vpc', 'reject destination_own'],
  },
  {
    in: 'ready',
    on: r.declare('update', { external: null }),
    command: 'd',
    to: 'ready',
    asks: [
      'defer',
      'ranges.watch > vpc',
      'port.follow > port',
      'external.release > external-network',
      'reply',
      'element.remove > vpc',
    ],
  },
  {
    in: 'ready',
    on: r.declare('update', { external: { network: 'public', address: '203.0.113.20' } }),
    command: 'd',
    to: 'joining.asking',
    asks: ['defer', 'ranges.watch > vpc', 'port.follow > port', 'external.claim > external-network'],
  },
  {
    in: 'ready',
    on: r.declare('update', { vpc: 'other' }),
    command: 'd',
    to: 'ready',
    asks: ['reject immutable_field'],
  },
  { in: 'ready', on: r.declare('apply'), command: 'd', to: 'ready', asks: ['reply'] },
  {
    in: 'joining.asking',
    with: inProposal,
    on: r.declare('update'),
    command: 'd',
    to: 'joining.asking',
    asks: ['reject name_busy'],
  },
  {
    in: 'joining.asking',
    with: {
      proposed: {
        spec: r.specOf({ external: { network: 'public', address: '203.0.113.20' } }),
        labels: {},
        protect: false,
      },
      waiters: [{ commandId: 'd', result: 'updated' }],
    },
    on: refused(),
    to: 'ready',
    asks: ['reject address_taken', 'external.claim > external-network'],
  },

  { in: 'ready', on: confirm, from: r.network, to: 'ready', asks: [] },
  {
    in: 'ready',
    on: confirm,
    from: 'external-network/system/other',
    to: 'ready',
    asks: ['external.release > external-network'],
  },
  {
    in: 'ready',
    on: { type: 'router.delete' },
    command: 'd',
    to: 'withdrawing',
    asks: ['defer', 'element.remove > vpc', 'element.remove > vpc', 'element.remove > vpc'],
  },
  {
    in: 'withdrawing',
    with: { published: {}, leaving: ['gateway default', 'static-routes 192.0.2.0/24'] },
    on: removed('gateway', 'default'),
    to: 'withdrawing',
    asks: [],
  },
  {
    in: 'withdrawing',
    with: { published: {}, leaving: ['gateway default'] },
    on: removed('gateway', 'default'),
    to: 'gone',
    asks: [
      'ranges.unwatch > vpc',
      'port.unfollow > port',
      'external.release > external-network',
      'quota.release > tenant',
    ],
  },
];

test('decisions', () => {
  assert.equal(disagreements(routerMachine, r.held, rows), []);
});

const step = (context: object, state: string, on: Row['on']) => {
  const move = decided(routerMachine, context, { in: state, on, command: 'd', to: '' });
  return { ...move, context: move.context as unknown as RouterContext };
};

/** Key -> element of what is put. */
function puts(asked: ReturnType<typeof step>['asked']): Record<string, unknown> {
  const events = asked
    .filter(({ type }) => type === 'send')
    .map(({ params }) => (params as { event: { type: string; key: string; element: unknown } }).event);
  return Object.fromEntries(
    events.filter(({ type }) => type === 'element.put').map(({ key, element }) => [key, element]),
  );
}

test('the elements say where each destination leads, and where everything else does', () => {
  const { asked } = step({ ...r.fresh, ...surveyed }, 'joining.asking', r.granted);
  assert.equal(puts(asked), {
    '192.0.2.0/24': { via: '10.0.0.9' },
    '198.51.100.0/24': { via: '10.0.0.77' },
    default: { ...r.way, network: r.network, snat: '203.0.113.10' },
  });
});

test('packets to a next hop that is missing, or in another VPC, leave no other way', () => {
  const missing = step(r.held, 'ready', r.lost);
  assert.equal(puts(missing.asked), { '198.51.100.0/24': { via: null } });
  const routed = missing.context.conditions.find(({ type }) => type === 'Routed');
  assert.equal(
    [routed?.status, routed?.message],
    ['False', `spec.routes.1.via.port: there is no ${r.vpn}; declare it, or name another port`],
  );
  const elsewhere = step(r.held, 'ready', { ...r.found, vpc: 'vpc/t/other' });
  assert.equal(puts(elsewhere.asked), { '198.51.100.0/24': { via: null } });
});

test('a changed declaration is observed once every host has proven all of it', () => {
  const changed = step(
    r.held,
    'ready',
    r.declare('update', { routes: [{ destination: '192.0.2.0/24', via: 'blackhole' }] }),
  );
  assert.equal(puts(changed.asked), { '192.0.2.0/24': { via: null } });
  assert.equal([changed.context.generation, changed.context.observedGeneration], [2, 1]);
  const proven = step(changed.context, 'ready', realized('static-routes', '192.0.2.0/24', 4));
  assert.is(proven.context.observedGeneration, 1, 'the other route is not gone yet');
  const late = step(proven.context, 'ready', realized('gateway', 'default', 2));
  assert.is(late.context.observedGeneration, 1);
  const gone = step(late.context, 'ready', removed('static-routes', '198.51.100.0/24'));
  assert.is(gone.context.observedGeneration, 2);
  assert.is(gone.context.conditions.find(({ type }) => type === 'Realized')?.status, 'True');
});

test('while few hosts lag, the condition says how many, and whether the one that leads is among them', () => {
  const lagging = (key: string, generation: number, ...hosts: readonly string[]) => {
    const section = key === 'default' ? 'gateway' : 'static-routes';
    return { type: 'element.lagging', section, key, generation, hosts };
  };
  const says = ({ context }: ReturnType<typeof step>) => {
    const { status, reason, message } = context.conditions.find(({ type }) => type === 'Realized') ?? {};
    return [status, reason, message];
  };
  const moved = step(r.held, 'ready', r.changed({ active: 2 }));
  assert.equal(says(moved), ['False', 'Publishing', 'not every host has proven it yet']);
  const both = step(moved.context, 'ready', lagging('default', 4, 'w1', 'w2'));
  assert.equal(says(both), [
    'False',
    'HostsLag',
    '2 hosts have not proven it yet, among them the gateway host that leads; every other host has',
  ]);
  assert.is(both.state, 'ready');
  const one = step(both.context, 'ready', lagging('default', 4, 'w1'));
  const standby = 'one host has not proven it yet; every other host has, also the gateway host that leads';
  assert.equal(says(one), ['False', 'HostsLag', standby]);
  assert.equal(laggingHosts(one.context), ['w1']);
  assert.equal(says(step(one.context, 'ready', lagging('default', 3, 'w2', 'w3'))), says(one), 'of an earlier one');
  const blackhole = { destination: '192.0.2.0/24', via: 'blackhole' };
  const also = step(one.context, 'ready', r.declare('update', { routes: [blackhole, r.declared.routes[1]] }));
  assert.is(says(also)[1], 'Publishing', 'of the changed route nothing is known');
  const proven = step(one.context, 'ready', realized('gateway', 'default', 4));
  assert.equal(says(proven), ['True', 'Proven', '']);
});

test('another external network gets in before the one before is left', () => {
  const other = 'external-network/system/other';
  const asked = step(r.held, 'ready', r.declare('update', { external: { network: 'other' } }));
  assert.equal([asked.state, asked.context.external?.network], ['joining.asking', r.network]);
  const moved = step(asked.context, 'joining.asking', { ...r.granted, network: other, address: '203.0.113.99' });
  assert.equal([moved.state, moved.context.external?.network], ['ready', other]);
  assert.ok(moved.asks.includes('external.release > external-network'));
  assert.equal((puts(moved.asked)['default'] as { snat: string }).snat, '203.0.113.99');
});

test('a route is refused with its path, the reason and what to do', () => {
  const codes = (...routes: object[]) => problemsOf(r.specOf({ routes })).map(({ code, path }) => `${code} ${path}`);
  const hole = (destination: string) => ({ destination, via: 'blackhole' });
  assert.equal(codes(hole('192.0.2.0/24'), hole('192.0.2.0/25')), []);
  assert.equal(codes(hole('192.0.2.1/24')), ['cidr_invalid spec.routes.0.destination']);
  assert.equal(codes(hole('0.0.0.0/0')), ['default_route spec.routes.0.destination']);
  assert.equal(codes(hole('169.254.169.0/24')), ['destination_special spec.routes.0.destination']);
  assert.equal(codes(hole('192.0.2.0/24'), hole('192.0.2.0/24')), ['route_twice spec.routes.1.destination']);
  const withoutOut = r.specOf({ external: null, routes: [hole('0.0.0.0/0')] });
  assert.equal(problemsOf(withoutOut), []);
  const useless = r.specOf({ external: { network: 'public', snat: false, address: '203.0.113.9' } });
  assert.equal(
    problemsOf(useless).map(({ code }) => code),
    ['address_unused'],
  );

  const rejected = (...routes: object[]) =>
    step({ ...r.held, hops: {} }, 'ready', r.declare('update', { routes })).asks.filter((one) =>
      one.startsWith('reject'),
    );
  const via = (address: string) => ({ destination: '192.0.2.0/24', via: { address } });
  assert.equal(rejected(via('10.0.0.9')), []);
  assert.equal(rejected(via('10.9.0.9')), ['reject next_hop_outside']);
  assert.equal(rejected(via('10.0.1.1')), ['reject next_hop_gateway']);
  assert.equal(rejected(via('10.0.0.255')), ['reject next_hop_reserved']);
  assert.equal(rejected(hole('10.0.0.9/32')), ['reject destination_own']);
  assert.equal(rejected(hole('203.0.113.0/24')), ['reject destination_external']);
});

test('an external network that overlaps a network of the VPC is refused, and told when it is noticed later', () => {
  const ranges = [...r.ranges, { network: 'network/t/wide', cidr: '203.0.0.0/16', gateway: '203.0.0.1' }];
  const message =
    '203.0.113.0/24 of external-network/system/public overlaps 203.0.0.0/16 of network/t/wide; ' +
    'name another external network, or renumber the network of the VPC';
  const asking = { ...r.fresh, ...waiting, ranges, hops: r.held.hops };
  const { state, asked } = decided(routerMachine, asking, { in: 'joining.asking', on: r.granted, to: 'gone' });
  const [refusal] = asked.flatMap(({ type, params }) => (type === 'reject' ? [params as Record<string, unknown>] : []));
  assert.equal(
    [state, refusal?.['code'], refusal?.['issues']],
    ['gone', 'cidr_overlap', [{ path: 'spec.external.network', message }]],
  );
  const later = step(r.held, 'ready', { ...r.told, ranges });
  assert.is(later.state, 'degraded');
  const routed = later.context.conditions.find(({ type }) => type === 'Routed');
  assert.equal([routed?.status, routed?.message], ['False', `spec.external.network: ${message}`]);
});

test.run();
