/** Which backends of a service IP are published, what its hosts are asked, and what its conditions say. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, type Row } from '../values/decision-table-for-tests.ts';
import type { ServiceIpContext } from './service-ip-context.ts';
import { serviceIpMachine } from './service-ip-machine.ts';
import * as s from './service-ip-rows-for-tests.ts';

const { one, other, active, checked, observed, member, matched, changed, stands } = s;

function step(context: ServiceIpContext, on: Row['on'], at = 1_000, from = 'allocated.active') {
  const { state, asks, asked, context: after } = decided(serviceIpMachine, context, { in: from, on, at, to: '' });
  const sent = (asked as readonly { params?: { event?: { type: string; element?: { backends: string[] } } } }[])
    .map(({ params }) => params?.event)
    .find((event) => event?.type === 'element.put');
  const next = after as unknown as ServiceIpContext;
  const realized = next.conditions.find(({ type }) => type === 'Realized');
  return { state: state.replace('allocated.', ''), asks, after: next, put: sent?.element?.backends ?? null, realized };
}
/** As if all hosts had proven what was published last. */
const proven = (context: ServiceIpContext) =>
  step(
    context,
    { type: 'element.realized', ...s.about, generation: context.published },
    1_000,
    'allocated.programming',
  );
const fresh: ServiceIpContext = { ...active, members: {}, published: 0, proven: 0, serving: [], placed: false };

test('without a health check every member serves, in the order of addresses', () => {
  const both = step(fresh, matched(member('b', other, 'w2'), member('a', '10.0.0.10', 'w1')));
  assert.equal([both.state, both.put, both.asks], ['programming', [other, '10.0.0.10'], ['element.put > vpc']]);
  assert.equal(proven(both.after).state, 'active');
  const less = step(active, changed([], [member('a', one, 'w1')]));
  assert.equal(less.put, [other]);
  const moved = step(active, changed([member('a', one, 'w2')], [member('a', one, 'w1')]));
  assert.equal([moved.put, moved.state], [null, 'active'], 'hosts route to a moved port without it');
  assert.equal(step(active, matched(member('a', one, 'w1'), member('b', other, 'w2'))).put, null, 'nothing is new');
});

test('a selector that matches nothing says what it looked for and what is there', () => {
  const nearby = [{ port: 'port/t/x', labels: { app: 'db' } }];
  const none = proven(step(fresh, { ...matched(), nearby }).after);
  assert.is(none.state, 'noBackends');
  assert.match(
    none.realized?.message ?? '',
    'no wired port of vpc/t/main has the labels app=web; wired are port/t/x (app=db)',
  );
  const bare = proven(step(fresh, matched()).after);
  assert.match(bare.realized?.message ?? '', 'no port of the VPC is wired');
  const last = step(
    { ...active, members: { 'port/t/a': { address: one, host: 'w1', round: 1 } } },
    changed([], [member('a', one, 'w1')]),
  );
  assert.equal(last.asks, ['element.put > vpc', 'members.watch > vpc'], 'the whole list names what is nearby');
  const listed = { ...fresh, spec: s.specOf({ backends: { ports: ['a', 'b'] } }) };
  assert.match(
    proven(step(listed, matched()).after).realized?.message ?? '',
    'none of its ports is wired on a host: a, b',
  );
  const half = proven(step(listed, matched(member('a', one, 'w1'))).after);
  assert.equal([half.state, half.realized?.message], ['degraded', 'not wired on a host: b']);
});

test('with a health check a member serves once its host has said so, and each verdict costs one publication', () => {
  const start = step(
    { ...fresh, spec: s.specOf(s.withCheck) },
    matched(member('a', one, 'w1'), member('b', other, 'w2')),
  );
  assert.equal(start.put, []);
  assert.equal(
    start.asks.filter((ask) => ask.startsWith('check')),
    ['check.ensure > service-check', 'check.ensure > service-check'],
  );
  assert.match(
    proven(start.after).realized?.message ?? '',
    'none of its backends passes the health check: 10.0.0.8 (not checked yet)',
  );
  const first = step(start.after, observed('w1', one, true, start.after.round));
  assert.equal([first.put, first.asks], [[one], ['element.put > vpc']]);
  const partly = proven(first.after);
  assert.equal([partly.state, partly.realized?.reason], ['degraded', 'Degraded']);
  const down = step(checked, observed('w2', other, false));
  assert.equal([down.put, down.state], [[one], 'programming']);
  assert.match(
    proven(down.after).realized?.message ?? '',
    '1 of 2 backends do not serve: 10.0.0.9 (connection refused)',
  );
  assert.is(step(down.after, observed('w2', other, false)).put, null, 'the same verdict again');
  assert.equal(
    step(step(checked, observed('w1', one, false)).after, observed('w2', other, false)).put,
    [],
    'none is kept',
  );
});

test('a verdict about an earlier run, of a stranger or of another host does not count', () => {
  const again = step(step(checked, changed([], [member('b', other, 'w2')])).after, changed([member('b', other, 'w2')]));
  const { round } = again.after;
  assert.is(again.put, null, 'it has to be checked first');
  assert.is(step(again.after, observed('w2', other, true, round - 1)).put, null);
  assert.equal(step(again.after, observed('w2', other, true, round)).put, [one, other]);
  assert.is(step(checked, observed('w1', other, false)).put, null, 'another host');
  assert.is(step(checked, observed('w1', '10.0.0.77', true)).put, null, 'a stranger');
});

test('a member that moves to another host while its guest runs serves until that host says otherwise', () => {
  const moved = step(checked, changed([member('b', other, 'w3')], [member('b', other, 'w2')]));
  assert.is(moved.put, null, 'nothing changes for its clients');
  assert.ok(moved.asks.includes('check.ensure > service-check'), 'its new host checks it');
  const { round } = moved.after;
  assert.equal(step(moved.after, observed('w3', other, false, round)).put, [one]);
  const anew = step(checked, changed([member('b', '10.0.0.77', 'w3')], [member('b', other, 'w2')]));
  assert.equal(anew.put, [one], 'another address was not checked');
  const gone = step(checked, changed([], [member('b', other, 'w2')]));
  assert.equal(
    step(gone.after, changed([member('b', other, 'w3')], [])).put,
    null,
    'nothing is known of one that was away',
  );
});

test('hosts are asked for what they have, and told to end when they have none', () => {
  const third = step(checked, changed([member('c', '10.0.0.10', 'w2')]));
  assert.equal(third.asks, ['check.ensure > service-check']);
  const gone = step(checked, changed([], [member('b', other, 'w2')]));
  assert.equal(gone.asks, ['check.drop > service-check', 'host.unfollow > host', 'element.put > vpc']);
  assert.equal(gone.after.checks['w2']?.asked, null);
  const ended = step(gone.after, { type: 'check.ended', host: 'w2', fenced: false });
  assert.equal(Object.keys(ended.after.checks), ['w1']);
  const anew = step(gone.after, changed([member('b', other, 'w2')]));
  assert.equal(anew.asks, ['check.ensure > service-check', 'host.follow > host']);
  const late = step(anew.after, { type: 'check.ended', host: 'w2', fenced: false });
  assert.equal(Object.keys(late.after.checks), ['w1', 'w2'], 'the end of what was dropped before');
});

test('a backend of a silent host serves for a while longer, and then only if no other does', () => {
  const silent = step(checked, stands('w2', 'silent'), 50_000);
  assert.equal([silent.state, silent.put], ['waiting', null]);
  assert.match(silent.realized?.message ?? '', 'the hosts of 10.0.0.9 are silent');
  const soon = step(silent.after, 'silence', 55_000, 'allocated.waiting');
  assert.equal([soon.state, soon.put], ['waiting', null]);
  const late = step(silent.after, 'silence', 60_000, 'allocated.waiting');
  assert.equal(late.put, [one]);
  assert.match(proven(late.after).realized?.message ?? '', '10.0.0.9 (its host is silent)');
  assert.equal(step(late.after, observed('w1', one, false)).put, [other], 'better than none');
  assert.equal(step(late.after, stands('w2', 'present')).put, [one, other], 'it is back');
  const unchecked = step(active, stands('w2', 'silent'));
  assert.equal([unchecked.state, unchecked.put], ['active', null]);
});

test('of a fenced host nothing is known; when it is back, it is asked again', () => {
  const fenced = step(checked, stands('w2', 'fenced'));
  assert.equal(fenced.put, [one]);
  const ended = step(fenced.after, { type: 'check.ended', host: 'w2', fenced: true });
  assert.equal([ended.put, ended.state], [null, 'programming']);
  const back = step(ended.after, stands('w2', 'present'));
  assert.equal([back.put, back.asks], [null, ['check.ensure > service-check']]);
  const early = step(checked, { type: 'check.ended', host: 'w2', fenced: true });
  assert.equal([early.put, early.state], [[one], 'waiting'], 'the host has not said that it is fenced');
  assert.equal(step(early.after, 'silence', 60_000, 'allocated.waiting').asks, ['check.ensure > service-check']);
});

test('trouble with checks is said, and what was known stays', () => {
  const told = step(checked, { type: 'check.delayed', host: 'w1', round: 1, error: s.error });
  assert.equal([told.state, told.put, told.realized?.message], ['degraded', null, 'backends cannot be checked now: x']);
  assert.is(step(told.after, observed('w1', one, true)).state, 'active');
});

test('a health check that is added interrupts nothing, and one that is taken away lets every member serve', () => {
  const added = step(active, s.declare('apply', s.withCheck));
  assert.equal(added.put, [one, other]);
  assert.equal(step(added.after, observed('w1', one, false, added.after.round)).put, [other]);
  const half = step(checked, observed('w2', other, false)).after;
  const removed = step(half, s.declare('apply'));
  assert.equal(removed.put, [one, other]);
  assert.equal(
    removed.asks.filter((ask) => ask.startsWith('check')),
    ['check.drop > service-check', 'check.drop > service-check'],
  );
});

test('at most 64 members are used; those that are used stay, and others follow when there is room', () => {
  const all = Array.from({ length: 66 }, (_, at) => member(`p${at}`, `10.0.1.${at + 1}`, 'w1'));
  const full = step(fresh, matched(...all.toReversed()));
  assert.equal(
    full.put,
    all.slice(0, 64).map(({ address }) => address),
  );
  assert.is(full.after.surplus, 2);
  assert.match(proven(full.after).realized?.message ?? '', '2 more ports match, and at most 64 serve');
  const early = step(full.after, changed([member('early', '10.0.0.2', 'w1')]));
  assert.equal([early.put, early.after.surplus], [null, 3], 'nobody who serves makes room');
  const beyond = step(early.after, changed([], [all[65] as object]));
  assert.equal([beyond.put, beyond.after.surplus], [null, 2]);
  const room = step(beyond.after, changed([], [all[0] as object]));
  assert.equal(room.asks, ['element.put > vpc', 'members.watch > vpc']);
});

test('what is wrong with a declaration is said with its field', () => {
  const codes = (more: object) =>
    decided(serviceIpMachine, s.claiming, {
      in: 'born',
      on: s.declare('create', more),
      command: 'c',
      to: '',
    }).asked.map(({ params }) =>
      (params as { issues?: readonly { path: string }[] } | undefined)?.issues?.map(({ path }) => path),
    )[0];
  const twice = [
    { protocol: 'tcp', port: 80, targetPort: 1 },
    { protocol: 'udp', port: 80, targetPort: 1 },
    { protocol: 'tcp', port: 80, targetPort: 2 },
  ];
  assert.equal(codes({ ports: twice }), ['spec.ports.2.port']);
  const udp = [{ protocol: 'udp', port: 53, targetPort: 53 }];
  assert.equal(codes({ ports: udp, healthCheck: { protocol: 'tcp' } }), ['spec.healthCheck.port']);
  assert.equal(codes({ ports: udp, healthCheck: { protocol: 'tcp', port: 53 } }), undefined);
  assert.equal(codes({ healthCheck: { protocol: 'tcp', path: '/x' } }), ['spec.healthCheck.path']);
  assert.equal(codes({ healthCheck: { protocol: 'http', timeoutSeconds: 6 } }), ['spec.healthCheck.timeoutSeconds']);
  for (const wrong of [
    { backends: { selector: {} } },
    { backends: { ports: ['a', 'a'] } },
    { backends: { ports: ['a'], selector: { app: 'web' } } },
    { ports: [] },
    { healthCheck: { protocol: 'http', path: 'x y' } },
    { healthCheck: { protocol: 'http', path: '/x\r\nHost: y' } },
  ])
    assert.throws(() => s.specOf(wrong), JSON.stringify(wrong));
});

test.run();
