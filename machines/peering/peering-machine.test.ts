/** Decisions of a peering: both VPCs are asked, joined without overlap, followed, and parted before it ends. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { newDeclared } from '../values/declared.ts';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import type { PeeringElement } from '../values/peering-elements.ts';
import { peeringMachine } from './peering-machine.ts';
import type { PeeringContext, Reach } from './peering-messages.ts';
import { peeringSpec, type PeeringSpec } from './peering-protocol.ts';

const id = 'peering/t/ab';
const [a, b] = ['vpc/t/a', 'vpc/t/b'];
const spec = (...vpcs: readonly string[]): PeeringSpec => peeringSpec.parse({ vpcs }) as PeeringSpec;
const declare = (verb: 'create' | 'update' | 'apply', ...vpcs: readonly string[]) => ({
  type: `peering.${verb}`,
  spec: spec(...vpcs),
  ...(verb === 'update' ? {} : { labels: {}, protect: false }),
});
const host = (n: number) => ({ name: `w${n}`, index: n, underlay: `192.0.2.${n}`, underlayMtu: 1500 + 100 * n });
const ranges = (by: string, ...cidrs: readonly string[]) => cidrs.map((cidr) => ({ cidr, by }));
const reach = (vpc: string, more: Partial<Reach> = {}): Reach => ({
  vpc,
  exists: true,
  hosts: [],
  ranges: [],
  ...more,
});
const ofA = reach(a, { hosts: [host(1)], ranges: ranges('network/t/x', '10.1.0.0/24') });
const ofB = reach(b, { hosts: [host(2)], ranges: ranges('network/t/y', '10.2.0.0/24', '10.3.0.0/24') });
const absent = (vpc: string): Reach => reach(vpc, { exists: false });
const told = (one: Reach) => ({ type: 'reach.told', ...one });

const held: PeeringContext = {
  ...newDeclared(id),
  uid: 'U1',
  spec: spec('b', 'a'),
  generation: 1,
  observedGeneration: 1,
  reaches: { [a]: ofA, [b]: ofB },
  edition: 3,
  proven: {},
  parted: [],
};
const waiting = { waiters: [{ commandId: 'c', result: 'created' }] };
const unmet = { ...waiting, reaches: {}, edition: 0 };
const halfMet = { ...unmet, reaches: { [a]: ofA } };
const error = { code: 'quota_exceeded', message: 'x', retryable: false };
const about = { section: 'peerings', key: id };
const realized = (generation: number) => ({ type: 'element.realized', ...about, generation });
const delayed = { type: 'element.delayed', ...about, generation: 3, host: 'w1', error };
const removed = { type: 'element.removed', ...about };
const clashing = reach(b, { ranges: ranges('network/t/y', '10.1.0.128/25') });
const beyond = reach(b, { ranges: ranges('peering/t/bc', '10.1.0.0/16') });
const bothBeyond = { reaches: { [a]: reach(a, { ranges: ranges('peering/t/az', '10.9.0.0/16') }) }, edition: 0 };
const leaving = ranges('router/t/r', '10.1.0.0/16');
const bothLeaving = { reaches: { [a]: reach(a, { ranges: leaving }) }, edition: 0 };
const puts = ['element.put > vpc', 'element.put > vpc'];
const follows = ['reach.follow > vpc', 'reach.follow > vpc'];
const unfollows = ['reach.unfollow > vpc', 'reach.unfollow > vpc'];
const parts = ['reach.unfollow > vpc', 'element.remove > vpc', 'reach.unfollow > vpc', 'element.remove > vpc'];
const members = { type: 'peer.members', whole: false, put: { '10.1.0.5': ['security-group/t/web'] }, removed: [] };
const service = { address: '10.1.0.9', ports: [{ protocol: 'tcp', port: 80, targetPort: 80 }], affinity: 'none' };
const leads = { type: 'peer.service', serviceIp: 'service-ip/t/web', element: { ...service, backends: ['10.1.0.5'] } };
const ofService = { section: 'service-ips', key: 'service-ip/t/web' };

const rows: readonly Row[] = [
  {
    in: 'born',
    on: declare('create', 'a', 'b'),
    command: 'c',
    to: 'claiming',
    asks: ['defer', 'quota.claim > tenant'],
  },
  { in: 'born', on: declare('apply', 'a', 'a'), command: 'c', to: 'gone', asks: ['reject peering_of_itself'] },
  { in: 'claiming', with: unmet, on: { type: 'quota.granted' }, to: 'meeting', asks: follows },
  {
    in: 'claiming',
    with: unmet,
    on: { type: 'quota.refused', error },
    to: 'gone',
    asks: ['reject quota_exceeded'],
  },
  { in: 'claiming', on: 'quotaDeadline', to: 'claiming', asks: ['quota.claim > tenant'] },
  {
    in: 'claiming',
    with: unmet,
    on: { type: 'peering.delete' },
    command: 'd',
    to: 'gone',
    asks: ['reject deleted', 'defer', 'quota.release > tenant', 'reply'],
  },
  { in: 'meeting', with: unmet, on: told(ofA), to: 'meeting', asks: [] },
  { in: 'meeting', with: unmet, on: told(reach('vpc/t/other')), to: 'meeting', asks: [] },
  { in: 'meeting', with: halfMet, on: told(ofB), to: 'joining', asks: [...puts, 'reply'] },
  { in: 'meeting', with: unmet, on: 'meetingDeadline', to: 'meeting', asks: follows },
  {
    in: 'meeting',
    with: halfMet,
    on: told(clashing),
    to: 'gone',
    asks: ['reject cidr_overlap', ...unfollows, 'quota.release > tenant'],
  },
  { in: 'meeting', with: halfMet, on: told(beyond), to: 'gone' },
  { in: 'meeting', with: halfMet, on: told(reach(b, { ranges: leaving })), to: 'gone' },
  // Both may leave through the same external network.
  { in: 'meeting', with: bothLeaving, on: told(reach(b, { ranges: leaving })), to: 'joining' },
  {
    in: 'meeting',
    with: bothBeyond,
    on: told(reach(b, { ranges: ranges('peering/t/bc', '10.9.1.0/24') })),
    to: 'joining',
  },
  {
    in: 'meeting',
    with: halfMet,
    on: told(absent(b)),
    to: 'gone',
    asks: ['reject vpc_not_found', ...unfollows, 'quota.release > tenant'],
  },
  {
    in: 'meeting',
    with: unmet,
    on: { type: 'peering.delete' },
    command: 'd',
    to: 'gone',
    asks: ['reject deleted', 'defer', ...unfollows, 'quota.release > tenant', 'reply'],
  },
  { in: 'joining', on: realized(3), from: a, to: 'joining', asks: [] },
  { in: 'joining', with: { proven: { [a]: 3 } }, on: realized(3), from: b, to: 'ready', asks: [] },
  { in: 'joining', with: { proven: { [a]: 2 } }, on: realized(3), from: b, to: 'joining', asks: [] },
  { in: 'joining', with: { proven: { [a]: 3 } }, on: realized(2), from: b, to: 'joining', asks: [] },
  { in: 'joining', on: delayed, from: a, to: 'joining', asks: [] },
  { in: 'joining', on: 'joiningDeadline', to: 'joining', asks: [...follows, ...puts] },
  { in: 'ready', on: declare('create', 'a', 'b'), command: 'd', to: 'ready', asks: ['reply'] },
  { in: 'ready', on: declare('apply', 'a', 'c'), command: 'd', to: 'ready', asks: ['reject immutable_field'] },
  { in: 'ready', on: told(ofA), to: 'ready', asks: [] },
  { in: 'ready', on: told({ ...ofA, hosts: [host(1), host(3)] }), to: 'ready', asks: puts },
  { in: 'ready', on: told(clashing), to: 'rejected', asks: [] },
  { in: 'ready', on: told(absent(a)), to: 'failed', asks: [] },
  { in: 'ready', on: members, from: a, to: 'ready', asks: ['peer.members > vpc'] },
  { in: 'ready', on: members, from: 'vpc/t/other', to: 'ready', asks: [] },
  { in: 'joining', on: leads, from: a, to: 'joining', asks: ['element.put > vpc'] },
  { in: 'ready', on: leads, from: a, to: 'ready', asks: ['element.put > vpc'] },
  { in: 'ready', on: { ...leads, element: null }, from: a, to: 'ready', asks: ['element.remove > vpc'] },
  { in: 'ready', on: leads, from: 'vpc/t/other', to: 'ready', asks: [] },
  { in: 'rejected', on: leads, from: a, to: 'rejected', asks: ['element.put > vpc'] },
  { in: 'failed', on: leads, from: a, to: 'failed', asks: [] },
  { in: 'withdrawing', on: leads, from: a, to: 'withdrawing', asks: [] },
  // The service IP of the other VPC is gone, and not yet the link.
  {
    in: 'withdrawing',
    with: { parted: [a] },
    on: { type: 'element.removed', ...ofService },
    from: b,
    to: 'withdrawing',
    asks: [],
  },
  { in: 'ready', on: { type: 'peering.delete' }, command: 'd', to: 'withdrawing', asks: ['defer', ...parts] },
  {
    in: 'ready',
    with: { protect: true },
    on: { type: 'peering.delete' },
    command: 'd',
    to: 'ready',
    asks: ['reject protected'],
  },
  { in: 'rejected', with: { reaches: { [a]: ofA, [b]: clashing } }, on: told(ofB), to: 'joining', asks: puts },
  { in: 'rejected', with: { reaches: { [a]: ofA, [b]: clashing } }, on: told(ofA), to: 'rejected', asks: [] },
  { in: 'rejected', on: members, from: a, to: 'rejected', asks: ['peer.members > vpc'] },
  { in: 'failed', with: { reaches: { [a]: absent(a), [b]: ofB } }, on: told(ofA), to: 'joining', asks: puts },
  { in: 'failed', with: { reaches: { [a]: absent(a), [b]: ofB } }, on: 'review', to: 'failed', asks: follows },
  {
    in: 'failed',
    with: { reaches: { [a]: absent(a), [b]: ofB } },
    on: { type: 'peering.delete' },
    command: 'd',
    to: 'withdrawing',
    asks: ['defer', 'reach.unfollow > vpc', 'reach.unfollow > vpc', 'element.remove > vpc'],
  },
  { in: 'withdrawing', on: removed, from: a, to: 'withdrawing', asks: [] },
  { in: 'withdrawing', on: told(ofA), from: a, to: 'withdrawing', asks: [] },
  {
    in: 'withdrawing',
    with: { ...waiting, parted: [a] },
    on: removed,
    from: b,
    to: 'gone',
    asks: ['quota.release > tenant', 'reply'],
  },
  { in: 'withdrawing', with: { parted: [a] }, on: told(absent(b)), to: 'gone', asks: ['quota.release > tenant'] },
  {
    in: 'withdrawing',
    with: { parted: [a] },
    on: 'withdrawDeadline',
    to: 'withdrawing',
    asks: ['reach.unfollow > vpc', 'element.remove > vpc'],
  },
];

test('decisions', () => {
  assert.equal(disagreements(peeringMachine, held, rows), []);
});

const step = (context: object, on: Row['on'], state: string, from?: string) =>
  decided(peeringMachine, context, { in: state, on, command: 'c', to: '', ...(from === undefined ? {} : { from }) });

test('each VPC is told of the other one: its CIDRs, its hosts, and what is taken there', () => {
  const more = [...ofB.ranges, ...ranges('peering/t/bc', '10.9.0.0/16')];
  const { asked } = step(held, told({ ...ofB, ranges: more }), 'ready');
  const sent = (asked as readonly { params: { to: string; event: Record<string, unknown> } }[]).map(({ params }) => ({
    to: params.to,
    ...params.event,
  }));
  const element = (of: Partial<PeeringElement>) => ({ mtu: 1550, hosts: ['w1', 'w2'], taken: [], ...of });
  const common = { type: 'element.put', section: 'peerings', key: id, generation: 4 };
  assert.equal(sent, [
    {
      to: a,
      ...common,
      element: element({
        peer: b,
        cidrs: ['10.2.0.0/24', '10.3.0.0/24'],
        taken: ranges('peering/t/bc', '10.9.0.0/16'),
      }),
      hosts: [host(2)],
    },
    { to: b, ...common, element: element({ peer: a, cidrs: ['10.1.0.0/24'] }), hosts: [host(1)] },
  ]);
});

test('a refusal names both ranges, their networks and what to do', () => {
  const { asked } = step({ ...held, ...halfMet }, told(clashing), 'meeting');
  const { params } = asked[0] as unknown as { params: { message: string; issues: readonly { path: string }[] } };
  assert.is(
    params.message,
    '10.1.0.0/24 of network/t/x in vpc/t/a overlaps 10.1.0.128/25 of network/t/y in vpc/t/b; VPCs that are peered ' +
      'have different ranges: delete or renumber one of the two',
  );
  assert.is(params.issues[0]?.path, 'spec.vpcs');
});

test('a change is realized once the hosts of both have proven the newest edition', () => {
  const isRealized = (context: object) =>
    (context as PeeringContext).conditions.find(({ type }) => type === 'Realized')?.status;
  const changed = step({ ...held, proven: { [a]: 3, [b]: 3 } }, told({ ...ofA, hosts: [] }), 'ready').context;
  assert.equal([isRealized(changed), changed['edition']], ['False', 4]);
  const half = step(changed, realized(4), 'ready', a).context;
  assert.is(isRealized(half), 'False');
  assert.is(isRealized(step(half, realized(3), 'ready', b).context), 'False', 'of an earlier edition');
  const both = step(half, realized(4), 'ready', b).context;
  assert.is(isRealized(both), 'True');
});

test.run();
