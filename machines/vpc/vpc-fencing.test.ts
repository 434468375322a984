/** A VPC forgets a host that is gone: its peers, its ports, and the proofs that it owed. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, type Row } from '../values/decision-table-for-tests.ts';
import type { SegmentView, VpcContext } from './vpc-context.ts';
import { vpcMachine } from './vpc-machine.ts';

const name = 'network/t/a';
const network = { network: name, uid: 'N', subnets: [], mtu: 1450, dhcp: {} } as never;
const view = (index: number): SegmentView => ({
  facts: { name: `w${index}`, index, underlay: `192.0.2.${index}`, underlayMtu: 1600 },
  generation: 2,
  acknowledged: 2,
  networks: { [name]: network },
  removing: false,
  failure: null,
});
const held: VpcContext = {
  id: 'vpc/t/main',
  uid: 'U1',
  vni: 4096,
  networks: { [name]: ['10.0.0.0/24'] },
  segments: { w1: view(1), w2: view(2) },
  waiting: [
    { port: 'port/t/here', host: view(1).facts, network, generation: 3 },
    { port: 'port/t/there', host: view(2).facts, network, generation: 3 },
  ],
  withdrawing: {},
  waiters: [],
};
const failed = { type: 'segment.failed', host: 'w1', error: { code: 'host_gone', message: 'gone', retryable: false } };
const gone: Row = { in: 'ready', on: failed, rows: { 'location/*': {} }, to: '' };

test('the others lose a peer, and who waited there is told', () => {
  const { context, asks, asked, state } = decided(vpcMachine, held, gone);
  assert.is(state, 'ready');
  assert.equal(asks, ['segment.failed > port', 'segment.ensure > segment']);
  assert.equal(
    asked.map(({ params }) => (params as { to: string }).to),
    ['port/t/here', 'segment/t/main@w2'],
  );
  assert.equal(Object.keys(context['segments'] as object), ['w2']);
  assert.equal(
    (context['waiting'] as VpcContext['waiting']).map(({ port }) => port),
    ['port/t/there'],
  );
});

test('that it is gone, said before it heard of what was last asked, leaves it: that is still answered', () => {
  const said = (generation: number): Row => ({ ...gone, on: { ...failed, generation } });
  const { asks, context } = decided(vpcMachine, held, said(1));
  assert.equal(asks, []);
  assert.equal(Object.keys(context['segments'] as object), ['w1', 'w2']);
  assert.equal(Object.keys(decided(vpcMachine, held, said(2)).context['segments'] as object), ['w2']);
});

test('it owes no proof any more, and a VPC that ends does not wait for it', () => {
  const owing = { ...held, waiting: [], withdrawing: { [name]: { w1: 3 } } };
  const { asks, context } = decided(vpcMachine, owing, gone);
  assert.ok(asks.includes('network.withdrawn > network'));
  assert.equal(context['networks'], {});
  const last = { ...held, waiting: [], segments: { w1: { ...view(1), removing: true } } };
  assert.is(decided(vpcMachine, last, { ...gone, in: 'removing' }).state, 'gone');
});

test.run();
