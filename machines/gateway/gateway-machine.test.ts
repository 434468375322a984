/** Decisions of a gateway: it looks at its uplink, leads by fresh orders only, and doubts what may have lapsed. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { gatewayMachine, type GatewayContext } from './gateway-machine.ts';

const network = 'external-network/system/public';
const uplink = { interface: 'eth1', mtu: 1_500 };
const peer = { name: 'w2', index: 2, underlay: '192.0.2.2', underlayMtu: 1_600 };
const task = { network, uid: 'N1', uplink, peer, leads: false, term: 3 };
const leading = { task: { ...task, leads: true } };
const proof = { ifindex: 4, mtu: 1_500, mac: '02:00:00:00:00:01' };
const held: GatewayContext = {
  id: 'gateway/system/public@w1',
  task,
  network,
  heard: true,
  uplink: proof,
  tries: 0,
  failure: null,
};
/** At the time of the rows below an order of 0 is one second old. */
const ensure = (change: object = {}) => ({ type: 'gateway.ensure', ...task, decidedAt: 900, ...change });
const checked = { type: 'gateway.check.done', ...proof };
const watched = (change: object) => ({ type: 'gateway.watch.done', heard: true, lapsed: false, ...change });
const error = (code: string) => ({ code, message: 'x', retryable: true });
const failed = (effect: string, code: string) => ({ type: `gateway.${effect}.failed`, error: error(code) });
const told = 'gateway.stands > external-network';
const watching = [told, 'gateway.watch'];

const rows: readonly Row[] = [
  { in: 'born', on: ensure(), to: 'checking', asks: ['gateway.check'] },
  { in: 'born', on: { type: 'gateway.drop' }, from: network, to: 'gone', asks: ['gateway.dropped > external-network'] },

  { in: 'checking', on: checked, to: 'watching', asks: watching },
  // Whoever is to lead was ordered so before its kernel was looked at: that order may be old by now.
  { in: 'checking', with: leading, on: checked, to: 'doubting', asks: [told] },
  { in: 'checking', on: failed('check', 'uplink_missing'), to: 'waiting', asks: [told] },
  { in: 'checking', on: failed('check', 'host_gone'), to: 'gone', asks: ['gateway.dropped > external-network'] },
  { in: 'checking', on: { type: 'gateway.check.unknown', error: error('x') }, to: 'checking', asks: ['gateway.check'] },
  { in: 'checking', on: ensure({ term: 4 }), to: 'checking', asks: ['gateway.check'] },
  { in: 'checking', on: ensure({ term: 2 }), to: 'checking', asks: [] },

  { in: 'watching', on: ensure(), to: 'watching', asks: [told] },
  { in: 'watching', on: ensure({ term: 4, leads: true }), to: 'watching', asks: watching },
  { in: 'watching', on: ensure({ term: 4, leads: true, decidedAt: -1_000 }), to: 'doubting', asks: [told] },
  { in: 'watching', on: ensure({ term: 4 }), to: 'watching', asks: watching },
  { in: 'watching', on: ensure({ term: 2, leads: true }), to: 'watching', asks: [] },
  { in: 'watching', on: ensure({ term: 4, leads: true, uplink: { ...uplink, mtu: 1_400 } }), to: 'checking' },
  { in: 'watching', with: leading, on: ensure({ term: 4 }), to: 'checking', asks: ['gateway.check'] },
  { in: 'watching', with: leading, on: ensure({ term: 4, leads: true, peer: null }), to: 'watching', asks: watching },
  { in: 'watching', on: watched({ heard: false }), to: 'watching', asks: watching },
  { in: 'watching', with: leading, on: watched({ heard: false }), to: 'doubting', asks: [told] },
  { in: 'watching', with: leading, on: watched({ lapsed: true }), to: 'doubting', asks: [told] },
  { in: 'watching', with: { ...leading, heard: false }, on: watched({}), to: 'watching', asks: watching },
  { in: 'watching', on: failed('watch', 'uplink_down'), to: 'checking', asks: ['gateway.check'] },
  { in: 'watching', on: { type: 'gateway.drop' }, to: 'dropping', asks: ['gateway.check'] },
  { in: 'watching', on: { type: 'host.gone' }, to: 'gone', asks: ['gateway.dropped > external-network'] },

  { in: 'doubting', with: leading, on: ensure({ leads: true }), to: 'watching', asks: watching },
  { in: 'doubting', with: leading, on: ensure({ leads: true, decidedAt: -1_000 }), to: 'doubting', asks: [told] },
  { in: 'doubting', with: leading, on: ensure({ term: 4 }), to: 'checking', asks: ['gateway.check'] },
  { in: 'doubting', with: leading, on: 'doubtReview', to: 'doubting', asks: [told] },

  { in: 'waiting', on: 'backoff', to: 'checking', asks: ['gateway.check'] },
  { in: 'waiting', on: ensure({ term: 4 }), to: 'checking', asks: ['gateway.check'] },

  { in: 'dropping', on: checked, to: 'gone', asks: ['gateway.dropped > external-network'] },
  { in: 'dropping', on: failed('check', 'uplink_missing'), to: 'gone' },
  { in: 'dropping', on: failed('check', 'kernel_busy'), to: 'dropBackoff', asks: [] },
  { in: 'dropBackoff', on: 'backoff', to: 'dropping', asks: ['gateway.check'] },
];

test('decisions', () => {
  assert.equal(disagreements(gatewayMachine, held, rows), []);
});

/** The report and the params of the effect that follow a row. */
function consequences(row: Row): { report: Record<string, unknown>; params: Record<string, unknown> } {
  const { asked } = decided(gatewayMachine, held, row);
  const sent = asked.find(({ type }) => type === 'send')?.params as { event: Record<string, unknown> } | undefined;
  const effect = asked.find(({ type }) => type.startsWith('gateway.'))?.params as Record<string, unknown> | undefined;
  return { report: sent?.event ?? {}, params: effect ?? {} };
}

test('only a kernel that was seen without a permit is reported to have none', () => {
  const report = (row: Omit<Row, 'to'>) => {
    const { leads, doubts, term } = consequences({ ...row, to: '' }).report;
    return { leads, doubts, term };
  };
  assert.equal(report({ in: 'checking', on: checked }), { leads: false, doubts: false, term: 3 });
  assert.equal(report({ in: 'checking', with: leading, on: checked }), { leads: true, doubts: true, term: 3 });
  const missing = report({ in: 'checking', on: failed('check', 'uplink_missing') });
  assert.equal(missing, { leads: false, doubts: false, term: 3 });
  assert.is(report({ in: 'checking', on: failed('check', 'kernel_busy') }).leads, true, 'nobody knows');
  assert.is(report({ in: 'watching', on: ensure({ term: 4, leads: true }) }).leads, true);
});

test('a check always takes the permit away, and a watch keeps it for the one that leads', () => {
  const leads = (row: Omit<Row, 'to'>): unknown => consequences({ ...row, to: '' }).params['leads'];
  assert.is(leads({ in: 'waiting', with: leading, on: 'backoff' }), false);
  assert.is(leads({ in: 'watching', with: leading, on: { type: 'gateway.drop' } }), false);
  assert.is(leads({ in: 'watching', on: ensure({ term: 4, leads: true }) }), true);
  assert.is(leads({ in: 'watching', on: watched({ heard: false }) }), false);
  const { params } = consequences({ in: 'watching', on: watched({ heard: false }), to: '' });
  assert.equal(params['peer'], { peer, heard: false });
});

test.run();
