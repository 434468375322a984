/**
 * A VPC and its peerings: what they follow, what a network may not claim because of them, and whose ports have which
 * groups in both directions.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, type Row } from '../values/decision-table-for-tests.ts';
import type { PeeringElement } from '../values/peering-elements.ts';
import type { VpcContext } from './vpc-context.ts';
import { vpcMachine } from './vpc-machine.ts';
import { claim, held, host, known, need, network, two } from './vpc-rows-for-tests.ts';

const [peering, other] = ['peering/t/ab', 'peering/t/bc'];
const nothing = { 'location/*': {}, 'peer-member/*': {} };

interface Sent {
  readonly to: string;
  readonly type: string;
  readonly [field: string]: unknown;
}

function step(context: object, on: Row['on'], more: Partial<Row> = {}) {
  const row = { in: 'ready', rows: nothing, from: peering, to: '', ...more, on };
  const { state, asks, asked, context: after } = decided(vpcMachine, context, row);
  const sent = asked.flatMap(({ type, params }): Sent[] => {
    if (type !== 'send') return [];
    const { to, event } = params as { to: string; event: { type: string } };
    return [{ to, ...event }];
  });
  return { state, asks, sent, after: after as unknown as VpcContext };
}

const element = (more: Partial<PeeringElement> = {}): PeeringElement => ({
  peer: 'vpc/t/b',
  cidrs: ['10.9.0.0/24'],
  taken: [{ cidr: '10.8.0.0/16', by: other }],
  mtu: 1500,
  hosts: ['w1'],
  ...more,
});
const put = (of: Partial<PeeringElement> = {}, generation = 1, key = peering) => ({
  type: 'element.put',
  section: 'peerings',
  key,
  element: element(of),
  generation,
});
const remove = { type: 'element.remove', section: 'peerings', key: peering };
const follow = { type: 'reach.follow' };
const own = { cidr: '10.0.0.0/24', by: 'network/t/a' };

/** Two hosts have the VPC, and everything is published and proven on both. */
const onTwo = { ...held, ...two };
const joined = step(onTwo, put()).after;

test('a peering that follows is told hosts and CIDRs, and every change of them, until it does no longer', () => {
  const followed = step(onTwo, follow);
  const told = { to: peering, type: 'reach.told', vpc: 'vpc/t/main', exists: true };
  assert.equal(followed.sent, [{ ...told, hosts: [host(1), host(2)], ranges: [own] }]);
  assert.equal(step(followed.after, follow).after.followers, [peering], 'twice is once');
  const claimed = step(followed.after, claim(network('b'))).sent.filter(({ type }) => type === 'reach.told');
  const second = { cidr: '10.0.1.0/24', by: 'network/t/b' };
  assert.equal(claimed, [{ ...told, hosts: [host(1), host(2)], ranges: [own, second] }]);
  assert.not.ok(
    step(followed.after, claim(network('a'), 2)).asks.includes('reach.told > peering'),
    'nothing it follows',
  );
  const more = step(followed.after, need(3)).sent.find(({ type }) => type === 'reach.told');
  assert.equal(more?.['hosts'], [host(1), host(2), host(3)]);
  const left = step(followed.after, { type: 'reach.unfollow' }).after;
  assert.not.ok(step(left, need(3)).asks.includes('reach.told > peering'));
});

test('what a VPC has because of a peering is not told to that peering, and to others as its own', () => {
  const hosts = [host(3)];
  const followed = step(step(onTwo, follow).after, follow, { from: other }).after;
  const { sent, after } = step(followed, { ...put({ hosts: ['w1', 'w2', 'w3'] }), hosts });
  assert.equal(Object.keys(after.segments), ['w1', 'w2', 'w3']);
  const told = sent.filter(({ type }) => type === 'reach.told');
  assert.equal(
    told.map(({ to, hosts: with3, ranges }) => [to, with3, ranges]),
    [[other, [host(1), host(2)], [own, { cidr: '10.9.0.0/24', by: peering }]]],
  );
});

test('a VPC that does not exist, or ends, says so', () => {
  const missing = { to: peering, type: 'reach.told', vpc: 'vpc/t/main', exists: false, hosts: [], ranges: [] };
  for (const on of [follow, { type: 'reach.unfollow' }]) {
    const { state, sent } = step({ ...held, uid: '' }, on, { in: 'born' });
    assert.equal([state, sent], ['gone', [missing]]);
  }
  const empty = { ...held, networks: {}, segments: two.segments, followers: [peering] };
  const removed = step(empty, { type: 'vpc.delete' }, { command: 'd' });
  assert.is(removed.state, 'removing');
  assert.equal(
    removed.sent.filter(({ type }) => type === 'reach.told'),
    [missing],
  );
  assert.equal(step(empty, follow, { in: 'removing' }).sent, [missing]);
  // Before it can be used it answers nobody, and then all.
  const early = step({ ...held, networks: {} }, follow, { in: 'numbering' });
  assert.equal(early.sent, []);
  const born = step(
    early.after,
    { type: 'vni.allocated', vni: 5000 },
    { in: 'numbering', from: 'cluster/system/main' },
  );
  assert.ok(born.asks.includes('reach.told > peering'));
});

test('a VPC that is peered is in use', () => {
  const { state, asks } = step({ ...joined, networks: {} }, { type: 'vpc.delete' }, { command: 'd' });
  assert.equal([state, asks], ['ready', ['reject in_use']]);
});

test('a network may not claim what the other VPC has, or reaches over another peering', () => {
  const refusal = (cidr: string) => {
    const subnets = [{ name: 's', cidr, gateway: cidr.replace('.0/', '.1/').split('/')[0] ?? '' }];
    const { sent } = step(joined, claim(network('b', { subnets })));
    const refused = sent.find(({ type }) => type === 'network.refused') as
      { path: string; error: { code: string; message: string } } | undefined;
    return refused === undefined ? null : [refused.error.code, refused.path, refused.error.message];
  };
  assert.equal(refusal('10.9.0.0/16'), [
    'cidr_overlap',
    'spec.subnets.0.cidr',
    '10.9.0.0/16 overlaps 10.9.0.0/24 of vpc/t/b, which peering/t/ab joins; choose another range',
  ]);
  assert.equal(refusal('10.8.3.0/24'), [
    'cidr_overlap',
    'spec.subnets.0.cidr',
    '10.8.3.0/24 overlaps 10.8.0.0/16, which vpc/t/b reaches over peering/t/bc; choose another range',
  ]);
  assert.is(refusal('10.10.0.0/24'), null);
});

test('only the hosts that are to have the link are told of it, with the CIDRs of both VPCs', () => {
  const updates = (sent: readonly Sent[]) =>
    sent
      .filter(({ type }) => type === 'segment.publish')
      .map(({ to, updates: all }) => [
        to.split('@')[1],
        (all as readonly { section: string; put: object; removed: readonly string[] }[])
          .filter(({ section }) => section === 'peerings')
          .map(({ put: with_, removed }) => [with_, removed]),
      ]);
  const { sent } = step(onTwo, put());
  const link = { peer: 'vpc/t/b', cidrs: ['10.9.0.0/24'], own: ['10.0.0.0/24'], mtu: 1500 };
  assert.equal(updates(sent), [['w1', [[{ [peering]: link }, []]]]]);
  const moved = step(joined, put({ hosts: ['w2'] }, 2)).sent;
  assert.equal(updates(moved), [
    ['w1', [[{}, [peering]]]],
    ['w2', [[{ [peering]: link }, []]]],
  ]);
  const own2 = { ...link, own: ['10.0.0.0/24', '10.0.1.0/24'] };
  const claimed = updates(step(joined, claim(network('b'))).sent).find(([to]) => to === 'w1');
  assert.equal(claimed, ['w1', [[{ [peering]: own2 }, []]]]);
});

const web = ['security-group/t/web'];
const location = { port: 'port/t/p', host: 1, groups: web };
const at = '10.0.0.5';
const located = (groups: readonly string[]) => ({
  type: 'port.located',
  port: 'port/t/p',
  address: at,
  host: 1,
  groups,
});
const where = (before: object | null) => ({ rows: { [`location/${at}`]: before }, from: 'port/t/p' });
const membersIn = (sent: readonly Sent[]) =>
  sent
    .filter(({ type }) => type === 'peer.members')
    .map(({ to, whole, put: with_, removed }) => [to, whole, with_, removed]);

test('a new peering is told all members, then each change once; of a port without groups nothing', () => {
  const all = { 'peer-member/*': {}, 'location/*': { [at]: location, '10.0.0.6': { ...location, groups: [] } } };
  assert.equal(membersIn(step(onTwo, put(), { rows: all }).sent), [[peering, true, { [at]: web }, []]]);
  assert.equal(membersIn(step(joined, put({ mtu: 1400 }, 2), { rows: all }).sent), [], 'only a new one');
  assert.equal(membersIn(step(joined, located(web), where(null)).sent), [[peering, false, { [at]: web }, []]]);
  assert.equal(membersIn(step(joined, located([]), where(location)).sent), [[peering, false, {}, [at]]]);
  assert.equal(membersIn(step(joined, located([]), where(null)).sent), []);
  assert.equal(membersIn(step(joined, { ...located(web), host: 2 }, where(location)).sent), [], 'it moved to a host');
  const gone = { type: 'port.left', port: 'port/t/p', address: at, host: 1 };
  assert.equal(membersIn(step(joined, gone, where(location)).sent), [[peering, false, {}, [at]]]);
  assert.equal(membersIn(step(onTwo, located(web), where(null)).sent), [], 'nobody is peered');
});

test('many members are told in several messages, of which only the first replaces what was known', () => {
  const addresses = Array.from({ length: 2_500 }, (_, n) => `10.0.${n >> 8}.${n & 255}`);
  const all = { ...nothing, 'location/*': Object.fromEntries(addresses.map((address) => [address, location])) };
  const told = membersIn(step(onTwo, put(), { rows: all }).sent);
  assert.equal(
    told.map(([, whole, members]) => [whole, Object.keys(members as object).length]),
    [
      [true, 1_000],
      [false, 1_000],
      [false, 500],
    ],
  );
  assert.equal(told.flatMap(([, , members]) => Object.keys(members as object)).toSorted(), addresses.toSorted());
});

const theirs = '10.9.0.7';
const told = (more: object) => ({ type: 'peer.members', whole: false, put: {}, removed: [], ...more });
const row = (groups: readonly string[], of = peering) => ({ peering: of, groups });
/** What hosts are told of members, by host, and the rows that change. */
const taken = (context: object, on: Row['on'], rows: Row['rows'], from = peering) => {
  const { asks, sent } = step(context, on, { rows: rows ?? {}, from });
  const updates = sent
    .filter(({ type }) => type === 'segment.publish')
    .flatMap(({ updates: all }) => all as readonly { section: string; put: object; removed: readonly string[] }[])
    .filter(({ section }) => section === 'group-members')
    .map(({ put: with_, removed }) => [with_, removed]);
  return [asks.filter((one) => !one.includes('>')), updates];
};

test('members of the other VPC go to every host as one element each, and only what differs', () => {
  const one = { [theirs]: web };
  const seen = [{ [theirs]: { groups: web } }, []];
  const none = { [`peer-member/${theirs}`]: null };
  assert.equal(taken(joined, told({ put: one }), none), [['put peer-member'], [seen, seen]]);
  const here = { [`peer-member/${theirs}`]: row(web) };
  assert.equal(taken(joined, told({ put: one }), here), [[], []]);
  const gone = [{}, [theirs]];
  assert.equal(taken(joined, told({ removed: [theirs] }), here), [['remove peer-member'], [gone, gone]]);
  assert.equal(taken(joined, told({ removed: [theirs] }), none), [[], []]);
  // A whole list is compared with what is there, and touches no other peering.
  const mixed = { 'peer-member/*': { [theirs]: row(web), '10.9.0.8': row(web), '10.7.0.1': row(web, other) } };
  const rest = [{}, ['10.9.0.8']];
  assert.equal(taken(joined, told({ whole: true, put: one }), mixed), [['remove peer-member'], [rest, rest]]);
  assert.equal(taken(joined, told({ put: one }), none, other), [[], []], 'of a peering that the VPC does not have');
});

test('of a peering that ends no member stays', () => {
  const mixed = { 'peer-member/*': { [theirs]: row(web), '10.7.0.1': row(web, other) } };
  const gone = [{}, [theirs]];
  assert.equal(taken(joined, remove, { ...nothing, ...mixed }), [['remove peer-member'], [gone, gone]]);
  assert.equal(step(joined, remove, { rows: { ...nothing, ...mixed } }).after.elements['peerings'], {});
});

test('a new host is told the members of the other VPC beside its own', () => {
  const rows = { 'location/*': { [at]: location }, 'peer-member/*': { [theirs]: row(web) } };
  const { sent } = step({ ...joined, networks: { 'network/t/a': known(network('a')) } }, need(3), { rows });
  const whole = sent
    .filter(({ type, to }) => type === 'segment.publish' && to.endsWith('@w3'))
    .flatMap(({ updates }) => updates as readonly { section: string; elements: object }[])
    .find(({ section }) => section === 'group-members');
  assert.equal(whole?.elements, { [at]: { groups: web }, [theirs]: { groups: web } });
});

test.run();
