/** What the cluster makes of silent hosts: who is told, how often, and how many are more than single losses. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, type Row } from '../values/decision-table-for-tests.ts';
import type { ClusterContext, HostRecord } from './cluster-context.ts';
import { isBroken, isFound, presence } from './cluster-loss.ts';
import { clusterMachine } from './cluster-machine.ts';
import * as usual from './cluster-rows-for-tests.ts';
import { record, report } from './cluster-rows-for-tests.ts';

/** Hosts w1, w2 ... of which some are silent. */
const hostsOf = (count: number, silent: readonly number[], more: Partial<HostRecord> = {}): ClusterContext['hosts'] =>
  Object.fromEntries(
    Array.from({ length: count }, (_, at) => at + 1).map((n) => [
      `w${n}`,
      record(n, silent.includes(n) ? { silent: true, ...more } : {}),
    ]),
  );
const held = (hosts: ClusterContext['hosts']): ClusterContext => ({ ...usual.held, hosts });
const lost = { type: 'host.lost', host: 'w1' };
const register = (n: number, silent: boolean) => ({
  type: 'host.register',
  host: `w${n}`,
  facts: report(n),
  schedulable: !silent,
  silent,
  fenced: false,
});
const on = (host: string) => ({ host, cpus: 1, memoryMib: 64 });
const rows = {
  'waiting/*': {},
  'reservation/*': { 'vm/t/b': on('w1'), 'vm/t/a': on('w1'), 'vm/t/c': on('w2'), 'migration/t/d': on('w1') },
  'promise/*': {
    'volume/t/d': { sizeMib: 64, host: 'w1' },
    'volume/t/e': { sizeMib: 64, host: 'w2', standby: 'w1' },
    'volume/t/f': { sizeMib: 64, host: null },
  },
};
const told = (hosts: ClusterContext['hosts'], event: Row['on'], more: Row['rows'] = {}) => {
  const row = { in: 'open', on: event, rows: { ...rows, ...more }, to: '' };
  const { asked, context } = decided(clusterMachine, held(hosts), row);
  const messages = asked.map(({ params }) => params as { to?: string; event: { type: string } });
  const toldTo = (kind: string): readonly string[] =>
    messages.filter(({ to = '' }) => to.startsWith(`${kind}/`)).map(({ to, event: { type } }) => `${type} ${to}`);
  return { vms: toldTo('vm'), volumes: toldTo('volume'), context: context as unknown as ClusterContext };
};

test('VMs and volumes of a lost host are told, and told again when it is back, which no other host says', () => {
  const gone = told(hostsOf(3, [1]), lost);
  assert.equal(gone.vms, ['vm.host-lost vm/t/a', 'vm.host-lost vm/t/b']);
  assert.equal(gone.volumes, ['volume.host-lost volume/t/d']);
  assert.is(gone.context.hosts['w1']?.lost, true);
  assert.equal(told(gone.context.hosts, register(2, false)).vms, []);
  assert.equal(told(gone.context.hosts, register(1, true)).vms, []);
  const back = told(gone.context.hosts, register(1, false));
  assert.equal(back.vms, ['vm.host-found vm/t/a', 'vm.host-found vm/t/b']);
  assert.equal(back.volumes, ['volume.host-found volume/t/d']);
  assert.is(isFound(back.context, register(1, false)), false);
});

test('a VM that moves to a host which was lost meanwhile is told when it has its reservation there', () => {
  const transfer = { type: 'place.transfer', vm: 'vm/t/d', migration: 'migration/t/d' };
  const gone = told(hostsOf(3, [1]), lost).context.hosts;
  const moved = { 'reservation/vm/t/d': on('w2'), 'reservation/migration/t/d': on('w1') };
  assert.equal(told(gone, transfer, moved).vms, ['vm.host-lost vm/t/d']);
  assert.equal(told(hostsOf(3, [1]), transfer, moved).vms, [], 'all of that host are told later');
  assert.equal(told(hostsOf(3, []), transfer, moved).vms, []);
  assert.equal(told(gone, transfer, { ...moved, 'reservation/migration/t/d': null }).vms, [], 'a repeated message');
});

test('a host that is back meanwhile, or was fenced, is not lost', () => {
  assert.equal(told(hostsOf(3, []), lost).vms, []);
  assert.equal(told(hostsOf(3, [1], { fenced: true }), lost).vms, []);
  assert.equal(told({}, lost).vms, []);
});

test('of a host that was fenced, before it could be lost, it is told when it is back', () => {
  const { volumes, vms } = told(hostsOf(3, [1], { fenced: true }), register(1, false));
  assert.equal([volumes.length, vms.length], [1, 2]);
});

test('more than a third of the hosts is more than lost hosts; those that were fenced do not count', () => {
  const broken = (count: number, ...silent: number[]): boolean => isBroken(hostsOf(count, silent));
  assert.equal(
    [broken(3, 1), broken(6, 1, 2), broken(2, 1), broken(6, 1, 2, 3), broken(1)],
    [false, false, true, true, false],
  );
  const fenced = { ...hostsOf(6, [1, 2, 3]), w3: record(3, { silent: true, fenced: true }) };
  assert.is(isBroken(fenced), true, '2 of 5');
  assert.equal(presence(hostsOf(3, [])).reason, 'AllPresent');
  const one = presence(hostsOf(3, [1]));
  assert.equal([one.status, one.reason], ['False', 'SomeSilent']);
  assert.match(one.message ?? '', /^1 of 3 hosts is silent \(w1\); bring them back, or fence/);
  assert.match(presence(hostsOf(3, [1, 2])).message ?? '', /more than a third: .* nothing is moved by itself/);
});

const ask = {
  type: 'loss.ask',
  host: 'w1',
  request: { vm: 'vm/t/a', cpus: 1, memoryMib: 64, host: null, volumes: [], lastRun: null, antiAffinity: null },
  storage: ['w3'],
};
const answered = (hosts: ClusterContext['hosts'], more: object = {}, state = 'open'): string => {
  const { asked } = decided(clusterMachine, held(hosts), {
    in: state,
    on: { ...ask, ...more },
    from: 'vm/t/a',
    rows,
    to: '',
  });
  const { event } = asked[0]?.params as { event: { type: string; silent?: string[]; error?: { code: string } } };
  return `${event.type} ${event.silent?.join() ?? event.error?.code}`;
};

test('a VM may give up its run on a silent host, unless too many are, its bytes are away, or no other has room', () => {
  assert.is(answered(hostsOf(6, [1])), 'loss.granted w1');
  assert.is(answered(hostsOf(6, [1, 5])), 'loss.granted w1,w5');
  assert.is(answered(hostsOf(6, [1, 4, 5])), 'loss.refused many_hosts_silent');
  assert.is(answered(hostsOf(2, [1])), 'loss.refused many_hosts_silent');
  assert.is(answered(hostsOf(6, [])), 'loss.refused host_present');
  assert.is(answered(hostsOf(6, [1, 3])), 'loss.refused storage_silent');
  assert.is(answered(hostsOf(6, [1]), { storage: ['w1'] }), 'loss.refused storage_silent');
  assert.is(answered(hostsOf(6, [1]), { request: { ...ask.request, memoryMib: 1 << 20 } }), 'loss.refused no_host');
  assert.is(answered(hostsOf(6, [1], { fenced: true })), 'loss.granted w1', 'an operator knows');
  assert.is(answered(hostsOf(6, [1]), {}, 'recovering.waiting'), 'loss.refused recovering');
});

test('the condition of the cluster follows the hosts', () => {
  const { context } = told(hostsOf(3, []), register(1, true));
  assert.is(context.conditions.find(({ type }) => type === 'HostsPresent')?.reason, 'SomeSilent');
  const again = told(context.hosts, register(1, false)).context;
  assert.is(again.conditions.find(({ type }) => type === 'HostsPresent')?.reason, 'AllPresent');
});

test.run();
