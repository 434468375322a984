/** Decisions of an external network: which gateway host leads, and when the next one may; grants; its end. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { newDeclared } from '../values/declared.ts';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { externalNetworkMachine } from './external-network-machine.ts';
import type { ExternalNetworkContext } from './external-network-messages.ts';
import * as n from './external-network-rows-for-tests.ts';

const fresh = { ...n.held, ...newDeclared(n.id), space: null, gateways: {}, active: null, term: 0, leadTerm: 0 };
const unknown = { gateways: {}, active: null };
const task = 'gateway.ensure > gateway';
const tasks = [task, task];
const changed = 'external.changed > router';
const follows = ['host.follow > host', 'host.follow > host'];
const silent1 = { gateways: { w1: n.view(1, { leads: true, standing: 'silent', silentAt: 0 }), w2: n.view(2) } };
const bothDown = {
  gateways: { w1: n.view(1, { standing: 'silent' }), w2: n.view(2, { uplink: 'down' }) },
};
const accused = { gateways: { w1: n.view(1, { leads: true }), w2: n.view(2, { unheardAt: 0 }) } };
const inUse = { holders: 1 };
const remove = { type: 'external-network.delete' };
const dropped = (index: number) => ({ type: 'gateway.dropped', host: `w${index}` });
const rows = n.oneRouter;

const table: readonly Row[] = [
  { in: 'born', with: fresh, on: n.declare('create'), command: 'c', rows, to: 'opening' },
  {
    in: 'born',
    with: fresh,
    on: n.declare('create', { cidr: '203.0.113.1/24' }),
    command: 'c',
    to: 'gone',
    asks: ['reject cidr_invalid'],
  },
  {
    in: 'born',
    with: fresh,
    on: { type: 'external.claim', by: 'router/acme/main', use: 'router', wantsAddress: true, address: null },
    from: 'router/acme/main',
    to: 'gone',
    asks: ['external.refused > router'],
  },
  // The first decision waits for both hosts, so that the preferred one leads.
  { in: 'opening', with: unknown, on: n.stands(2), rows, to: 'opening', asks: [task, changed] },
  {
    in: 'opening',
    with: { active: null, gateways: { w1: n.view(1, { uplink: 'unknown' }), w2: n.view(2) } },
    on: n.gateway(1, { leads: false }),
    rows,
    to: 'ready',
    asks: [...tasks, ...tasks, changed],
  },
  { in: 'opening', with: { active: null, ...bothDown }, on: 'surveyDeadline', rows, to: 'waiting' },
  // Declared anew while the former hosts are asked: the new ones are followed, and those that left are dropped.
  {
    in: 'opening',
    with: { active: null, gateways: { w1: n.view(1, { uplink: 'unknown' }), w2: n.view(2) } },
    on: n.declare('update', { hosts: ['w1'] }),
    command: 'c',
    rows,
    to: 'opening',
    asks: ['reply', 'host.follow > host', 'host.unfollow > host', 'gateway.drop > gateway', task, changed],
  },
  { in: 'ready', on: n.gateway(2), rows, to: 'ready', asks: [] },
  // The second host was not known when it was asked: it is asked again. Both have answered: nobody is asked.
  {
    in: 'ready',
    with: { gateways: { w1: n.view(1, { leads: true }) } },
    on: 'gatewayReview',
    rows,
    to: 'ready',
    asks: [...follows, task],
  },
  { in: 'ready', on: 'gatewayReview', rows, to: 'ready', asks: [] },
  // The leader is silent: it may have its permit still.
  { in: 'ready', on: n.gateway(2, { heard: false }), rows, to: 'moving', asks: tasks },
  // Its worker is silent, maybe since just now.
  { in: 'ready', on: n.stands(1, 'silent'), rows, to: 'moving', asks: tasks },
  // It has said that its uplink is down, and so that nothing is forwarded.
  { in: 'ready', on: n.gateway(1, { uplink: null, leads: false }), rows, to: 'ready' },
  // Nobody can take over.
  {
    in: 'ready',
    with: { gateways: { w1: n.view(1) } },
    on: n.stands(1, 'silent'),
    rows,
    to: 'waiting',
    asks: [changed],
  },
  // It doubts whether it leads, and does.
  { in: 'ready', on: n.gateway(1, { doubts: true }), rows, to: 'ready', asks: [task] },
  { in: 'ready', on: n.gateway(1, { doubts: true, heard: false }), rows, to: 'ready', asks: [task] },
  // The other one is back: it does not take the lead again.
  {
    in: 'ready',
    with: { active: 'w2', gateways: { w1: n.view(1, { standing: 'silent' }), w2: n.view(2, { leads: true }) } },
    on: n.stands(1),
    rows,
    to: 'ready',
    asks: [...tasks, changed],
  },

  { in: 'moving', with: accused, on: n.gateway(1, { term: 5, leads: false }), rows, to: 'ready' },
  { in: 'moving', with: accused, on: n.gateway(1, { term: 4, leads: false }), rows, to: 'moving', asks: [] },
  { in: 'moving', with: accused, on: n.stands(1, 'silent'), rows, to: 'moving', asks: [] },
  { in: 'moving', with: silent1, on: 'handover', at: 1_300, rows, to: 'ready' },
  { in: 'moving', with: silent1, on: 'handover', at: 1_200, rows, to: 'moving', asks: tasks },
  { in: 'moving', with: accused, on: 'handover', at: 900, rows, to: 'ready' },
  { in: 'moving', with: accused, on: 'handover', at: 800, rows, to: 'moving', asks: tasks },
  // Neither hears the other: that proves nothing against the one that leads.
  { in: 'moving', with: accused, on: n.gateway(1, { heard: false }), rows, to: 'ready' },
  { in: 'moving', with: accused, on: n.gateway(1, { doubts: true }), rows, to: 'moving', asks: [task] },
  { in: 'moving', with: accused, on: n.declare('update'), command: 'c', to: 'moving', asks: ['reject name_busy'] },

  { in: 'waiting', with: bothDown, on: n.gateway(2, { leads: false }), rows, to: 'ready' },
  { in: 'waiting', with: bothDown, on: 'gatewayReview', rows, to: 'waiting', asks: [...follows, ...tasks, changed] },

  // A changed declaration.
  { in: 'ready', on: n.declare('update', { mtu: 1_400 }), command: 'c', rows, to: 'ready' },
  { in: 'ready', on: n.declare('update', { tenants: null }), command: 'c', rows, to: 'ready', asks: ['reply'] },
  { in: 'ready', on: n.declare('update', { hosts: ['w2', 'w1'] }), command: 'c', rows, to: 'moving' },
  {
    in: 'ready',
    on: n.declare('update', { cidr: '198.51.100.0/24' }),
    command: 'c',
    rows,
    to: 'ready',
    asks: ['reject gateway_outside_subnet'],
  },
  {
    in: 'ready',
    on: n.declare('update', { gateway: null }),
    command: 'c',
    rows,
    to: 'ready',
    asks: ['reject immutable_field'],
  },
  {
    in: 'ready',
    with: inUse,
    on: n.declare('update', { tenants: ['other'] }),
    command: 'c',
    rows,
    to: 'ready',
    asks: ['reject in_use'],
  },
  { in: 'ready', with: inUse, on: remove, command: 'c', rows, to: 'ready' },
  {
    in: 'ready',
    on: remove,
    command: 'c',
    rows,
    to: 'withdrawing',
    asks: ['defer', 'host.unfollow > host', 'gateway.drop > gateway', 'host.unfollow > host', 'gateway.drop > gateway'],
  },
  {
    in: 'withdrawing',
    with: { gateways: { w2: n.view(2) }, waiters: [{ commandId: 'c', result: 'deleted' }] },
    on: dropped(2),
    rows,
    to: 'gone',
    asks: ['reply'],
  },
  { in: 'withdrawing', on: dropped(2), rows, to: 'withdrawing', asks: [] },
];

test('decisions', () => {
  assert.equal(disagreements(externalNetworkMachine, n.held, table), []);
});

const step = (context: object, state: string, on: Row['on'], at = 1_000) => {
  const move = decided(externalNetworkMachine, context, { in: state, on, at, rows, command: 'c', to: '' });
  return { ...move, context: move.context as unknown as ExternalNetworkContext };
};

interface Told {
  readonly to: string;
  readonly event: { readonly type: string; readonly leads?: boolean; readonly way?: { active: number | null } };
}

/** Who is told to lead, and which host routers are told. */
const leaders = (asked: ReturnType<typeof step>['asked']) => {
  const told = asked.filter(({ type }) => type === 'send').map(({ params }) => params as Told);
  return {
    ensured: told
      .filter(({ event }) => event.type === 'gateway.ensure')
      .map(({ to, event }) => `${to.split('@')[1]} ${event.leads}`),
    routed: told.filter(({ event }) => event.type === 'external.changed').map(({ event }) => event.way?.active),
  };
};

test('the next one is told to lead only after the one before has stopped, and routers only then', () => {
  const asked = step(n.held, 'ready', n.gateway(2, { heard: false }));
  assert.equal(leaders(asked.asked), { ensured: ['w1 false', 'w2 false'], routed: [] });
  const late = step(asked.context, 'moving', n.gateway(1, { term: 6, leads: false }));
  assert.is(late.context.active, 'w2');
  assert.equal(leaders(late.asked), { ensured: ['w1 false', 'w2 true'], routed: [2] });
  assert.ok(late.context.term > asked.context.term);
});

test('a leader that nobody accuses is waited for, however long it takes', () => {
  const moved = step(n.held, 'ready', n.declare('update', { hosts: ['w2', 'w1'] }));
  assert.is(moved.state, 'moving');
  const waited = step(moved.context, 'moving', 'handover', 60_000);
  assert.equal([waited.state, leaders(waited.asked).ensured], ['moving', ['w2 false', 'w1 false']]);
  const stopped = step(waited.context, 'moving', n.gateway(1, { term: 9, leads: false }));
  assert.equal([stopped.state, stopped.context.active, stopped.context.preferred], ['ready', 'w2', null]);
});

test('a leader that hears the other one again is waited for, although the other one has not said so yet', () => {
  const gateways = { w1: n.view(1, { leads: true, unheardAt: 20 }), w2: n.view(2, { unheardAt: 10 }) };
  const moving = step({ ...n.held, gateways }, 'ready', n.gateway(1, { heard: true }), 30);
  const waited = step(moving.context, 'moving', 'handover', 60_000);
  assert.equal([moving.state, waited.state], ['moving', 'moving'], 'it may have renewed its permit meanwhile');
  const again = { ...waited.context.gateways, w2: n.view(2, { unheardAt: 40 }) };
  assert.is(step({ ...waited.context, gateways: again }, 'moving', 'handover', 940).context.active, 'w2');
});

test('a host that is not declared any more ends its permit before another leads', () => {
  const three = n.declare('update', { hosts: ['w2'] });
  const moved = step(n.held, 'ready', three);
  assert.is(moved.state, 'moving');
  assert.ok(moved.asks.includes('gateway.drop > gateway'));
  const ended = step(moved.context, 'moving', dropped(1));
  assert.equal([ended.state, ended.context.active, Object.keys(ended.context.gateways)], ['ready', 'w2', ['w2']]);
});

test('a leader that is not declared any more is not taken for the other host, which is not heard', () => {
  const moved = step(n.held, 'ready', n.declare('update', { hosts: ['w3', 'w2'] }));
  assert.is(moved.state, 'opening');
  const away = step(moved.context, 'opening', n.stands(3, 'silent'));
  assert.is(away.state, 'moving');
  const unheard = step(away.context, 'moving', n.gateway(2, { heard: false }));
  const waited = step(unheard.context, 'moving', 'handover', 60_000);
  assert.is(waited.state, 'moving', 'w1 may lead still');
  const ended = step(waited.context, 'moving', dropped(1));
  assert.equal([ended.state, ended.context.active], ['ready', 'w2']);
});

test('the conditions say what is wrong with the standby, and the failure why nothing gets out', () => {
  const conditionOf = (context: ExternalNetworkContext) => {
    const { status, reason, message } = context.conditions.find(({ type }) => type === 'Standby') ?? {};
    return { status, reason, message };
  };
  const well = step(n.held, 'ready', n.gateway(2)).context;
  assert.equal(conditionOf(well), { status: 'True', reason: 'Listening', message: '' });
  const alone = step(n.held, 'ready', n.stands(2, 'silent')).context;
  assert.equal(conditionOf(alone), { status: 'False', reason: 'Unusable', message: 'host w2 is silent' });
  const none = step(alone, 'ready', n.stands(1, 'fenced'));
  assert.is(none.state, 'waiting');
  assert.match(none.context.failure?.message ?? '', /host w1 is fenced; host w2 is silent; nothing gets out meanwhile/);
  assert.equal(leaders(none.asked).routed, [null]);
  const back = step(none.context, 'waiting', n.stands(2));
  const up = step(back.context, 'waiting', n.gateway(2, { leads: false, term: 99 }));
  assert.equal([up.state, up.context.active, up.context.failure], ['ready', 'w2', null]);
});

test('in its silence the leader keeps the lead while nobody could take it', () => {
  const silent = step(
    { ...n.held, ...silent1, gateways: { ...silent1.gateways, w2: n.view(2, { uplink: 'down' }) } },
    'ready',
    n.gateway(2, { uplink: null, error: { code: 'uplink_down', message: 'x', retryable: true } }),
  );
  assert.equal([silent.state, silent.context.active], ['waiting', 'w1']);
});

test.run();
