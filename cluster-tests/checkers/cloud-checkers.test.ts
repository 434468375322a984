/** Each checker of the cloud names the violation it exists for, and passes a correct run. */
import { noAgent, noDataplane, noDeployer, noHosts, noRollouts } from '@photoncloud/actors/photon/no-dataplane';
import { createRegistry } from '@photoncloud/actors/registry';
import type { ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  checkRunningIncarnations,
  checkTenantSegments,
  checkWiredAddresses,
  type KernelFact,
  type Violation,
} from './kernel-facts.ts';
import { checkStoredSnapshots } from './legal-snapshots.ts';
import { unsettledParts, type HostListing } from './settled-cloud.ts';

const registry = createRegistry(noDataplane, noAgent, noHosts, noDeployer, noRollouts);
const ids = (violations: readonly Violation[]): string[] => violations.map(({ checker }) => checker);
const runs = (host: string, pid: number): KernelFact => ({
  atMs: 1,
  host,
  fact: 'incarnation.runs',
  vm: 'vm/a/v',
  incarnationUid: `L${pid}`,
  pid,
});
const rests = (host: string, pid: number): KernelFact => ({
  atMs: 2,
  host,
  fact: 'incarnation.rests',
  vm: 'vm/a/v',
  pid,
  reason: 'gone',
});

test('K1: a VM that runs on two hosts at once is a violation, one that moved is not', () => {
  assert.equal(checkRunningIncarnations([runs('w1', 1), rests('w1', 1), runs('w2', 1)]), []);
  assert.equal(ids(checkRunningIncarnations([runs('w1', 1), runs('w2', 1), rests('w1', 1)])), ['K1']);
});

const wired = (host: string, tap: string, port: string, address: string, mac: string): KernelFact => ({
  atMs: 1,
  host,
  fact: 'tap.wired',
  tap,
  port,
  vpc: 'vpc/a/main',
  network: 'network/a/n',
  mac,
  address,
});
const untapped = (host: string, tap: string): KernelFact => ({ atMs: 2, host, fact: 'tap.gone', tap });

test('K3 and K4: an address, a MAC or a port that is wired twice is a violation', () => {
  const first = wired('w1', 't1', 'port/a/p', '10.0.0.4', '02:00:00:00:00:01');
  assert.equal(checkWiredAddresses([first, untapped('w1', 't1'), { ...first, host: 'w2' }]), []);
  const second = wired('w2', 't2', 'port/a/q', '10.0.0.4', '02:00:00:00:00:02');
  assert.equal(ids(checkWiredAddresses([first, second])), ['K3']);
  const sameMac = wired('w2', 't2', 'port/a/q', '10.0.0.5', '02:00:00:00:00:01');
  assert.equal(ids(checkWiredAddresses([first, sameMac])), ['K4']);
  const samePort = wired('w2', 't2', 'port/a/p', '10.0.0.5', '02:00:00:00:00:02');
  assert.equal(ids(checkWiredAddresses([first, samePort])), ['K4']);
});

test('K3 and K4: an address or a MAC of a pair is like any other, and a port has two taps only while it moves', () => {
  const pair = { address: '10.0.0.26', mac: '02:00:00:00:00:01' };
  const first = { ...wired('w1', 't1', 'port/a/p', '10.0.0.4', '02:00:00:00:00:01'), pairs: [pair], runEpoch: 1 };
  const second = wired('w2', 't2', 'port/a/q', '10.0.0.26', '02:00:00:00:00:02');
  assert.equal(ids(checkWiredAddresses([first, second])), ['K3']);
  const other = { address: '10.0.0.5', mac: '02:00:00:00:00:02', port: 'port/a/q' };
  const sameMac = { ...second, ...other, pairs: [{ ...pair, address: '10.0.0.27' }] };
  assert.equal(ids(checkWiredAddresses([first, sameMac])), ['K4']);
  const moved = { ...first, host: 'w2', atMs: 2, runEpoch: 2 };
  const moves = (port: string, { from, to }: { from: string; to: string }, atMs: number): boolean =>
    port === 'port/a/p' && from === 'w1' && to === 'w2' && atMs === 2;
  assert.equal(ids(checkWiredAddresses([first, moved])), ['K3', 'K3', 'K4', 'K4']);
  assert.equal(checkWiredAddresses([first, moved], moves), []);
  assert.equal(ids(checkWiredAddresses([moved, first], moves)).length, 4, 'not after it has moved');
  assert.equal(ids(checkWiredAddresses([first, { ...moved, runEpoch: 1 }], moves)).length, 4, 'not in the same run');
});

test('K10: a VNI of two VPCs at once is a violation, also on different hosts', () => {
  const up = (host: string, vpc: string): KernelFact => ({ atMs: 1, host, fact: 'segment.up', vpc, vni: 4096 });
  const gone: KernelFact = { atMs: 2, host: 'w1', fact: 'segment.gone', vpc: 'vpc/a/main' };
  assert.equal(checkTenantSegments([up('w1', 'vpc/a/main'), up('w2', 'vpc/a/main')]), []);
  assert.equal(checkTenantSegments([up('w1', 'vpc/a/main'), gone, up('w2', 'vpc/b/main')]), []);
  assert.equal(ids(checkTenantSegments([up('w1', 'vpc/a/main'), up('w2', 'vpc/b/main')])), ['K10']);
});

const stored = (id: string, state: unknown, context: Readonly<Record<string, unknown>> = {}): StoredActor => ({
  id: id as ActorId,
  uid: 'U',
  status: 'live',
  version: 1,
  chartVersion: registry.kinds.get(id.slice(0, id.indexOf('/')))?.chartVersion ?? 1,
  schemaHash: '',
  state,
  context,
  effects: [],
  timers: [],
  deferred: {},
  lastSeq: 0,
  watermarks: {},
  prunedUid: '',
});

test('K11: an unknown state, a newer chart version and a final state stored as live are violations', () => {
  const check = (...actors: StoredActor[]): string[] => ids(checkStoredSnapshots(registry, actors, 1));
  assert.equal(check(stored('vm/a/v', 'running'), stored('vm/a/w', { preparing: 'asking' })), []);
  assert.equal(check(stored('vm/a/v', 'flying')), ['K11']);
  assert.equal(check({ ...stored('vm/a/v', 'running'), chartVersion: 99 }), ['K11']);
  assert.equal(check(stored('vm/a/v', 'gone')), ['K11']);
});

const none = { incarnations: [], taps: [], segments: [], leases: [], services: [] };
const bare: HostListing = { host: 'w1', ...none, permits: new Map() };
const incarnation = { vm: 'vm/a/v', incarnationUid: 'L1', owner: 'incarnation/a/v@w1', runs: true };
const running = stored('vm/a/v', 'running', { host: { name: 'w1' }, incarnationUid: 'L1' });
const run = stored('incarnation/a/v@w1', { alive: 'running' });

test('K13: the declared state, the recorded state and the state of the hosts are compared', () => {
  const unsettled = (actors: readonly StoredActor[], hosts: readonly HostListing[]): readonly string[] =>
    unsettledParts({ registry, actors, owners: new Map(), hosts });
  assert.equal(unsettled([running, run], [{ ...bare, incarnations: [incarnation] }]), []);
  assert.match(unsettled([running, run], [bare]).join(), /runs 0 times/);
  assert.match(
    unsettled([running, run], [{ ...bare, incarnations: [{ ...incarnation, incarnationUid: 'L0' }] }]).join(),
    /as L0/,
  );
  assert.match(
    unsettled([run], [{ ...bare, incarnations: [{ ...incarnation, owner: 'incarnation/a/x@w1' }] }]).join(),
    /no longer exists/,
  );
  assert.match(unsettled([stored('vm/a/v', { preparing: 'asking' })], [bare]).join(), /still in/);
  const stopped = stored('vm/a/v', 'stopped');
  assert.match(unsettled([stopped, run], [{ ...bare, incarnations: [incarnation] }]).join(), /runs on w1/);
  const lease = { vpc: 'vpc/a/main', address: '10.0.0.4', mac: '02:00:00:00:00:01', tap: 't' };
  assert.match(unsettled([], [{ ...bare, leases: [lease] }]).join(), /matches no tap/);
  const grant = { address: '10.0.0.4', mac: lease.mac, network: { network: 'network/a/n' } };
  const port = stored('port/a/p', 'active', { grant, host: { name: 'w1' } });
  assert.match(unsettled([port], [bare]).join(), /says is free.*no longer exists.*is wired as \[\]/);
  const failed = stored('port/a/q', 'failed', { grant: null, holder: 'vm/a/v' });
  const tap = { ...lease, port: 'port/a/q', owner: 'binding/a/q@w1', groups: [] };
  const wiredOn = (...actors: StoredActor[]): boolean =>
    unsettled([failed, ...actors], [{ ...bare, taps: [tap] }]).some((what) =>
      what.includes('is "failed" and wired on w1'),
    );
  assert.is(wiredOn(), true);
  assert.is(wiredOn(running), false, 'a failed port under a running VM keeps its tap');
});

test('K13: every binding has its port, which names its host', () => {
  const strays = (...actors: StoredActor[]): string =>
    unsettledParts({ registry, actors, owners: new Map(), hosts: [] })
      .filter((line) => line.startsWith('binding/'))
      .join();
  const binding = stored('binding/a/p@w1', 'tapped');
  const on = (name: string, standby: string | null = null) =>
    stored('port/a/p', 'tapped', { grant: null, host: { name }, standby: standby === null ? null : { host: standby } });
  assert.equal([strays(binding, on('w1')), strays(binding, on('w2', 'w1'))], ['', '']);
  assert.match(strays(binding), /has no port/);
  assert.match(strays(binding, on('w2')), /is not a binding that port\/a\/p has/);
});

test('K13: ports are wired with the groups that they name, and groups count who names them', () => {
  const unsettled = (actors: readonly StoredActor[], hosts: readonly HostListing[]): string =>
    unsettledParts({ registry, actors, owners: new Map(), hosts }).join();
  const [address, mac] = ['10.0.0.4', '02:00:00:00:00:01'];
  const grant = { address, mac, network: { network: 'network/a/n' } };
  const spec = { network: 'n', securityGroups: ['web'] };
  const port = (more: object = {}) => stored('port/a/p', 'active', { grant, spec, host: { name: 'w1' }, ...more });
  const tap = { tap: 't', owner: 'binding/a/p@w1', port: 'port/a/p', address, mac, groups: ['security-group/a/web'] };
  const wrongly = { ...tap, groups: ['security-group/a/default'] };
  const telling = /has the groups security-group\/a\/web, and is wired with security-group\/a\/default/;
  assert.match(unsettled([port()], [{ ...bare, taps: [wrongly] }]), telling);
  assert.not.match(unsettled([port()], [{ ...bare, taps: [tap] }]), /has the groups/);
  const rules = [{ remote: { group: 'web' } }];
  const group = (holders: number) => stored('security-group/a/web', 'ready', { holders, spec: { rules } });
  const other = stored('security-group/a/db', 'ready', { holders: 0, spec: { rules } });
  const counts = (...actors: StoredActor[]): boolean => /counts \d+ holders/.test(unsettled(actors, [bare]));
  assert.equal([counts(group(2), port(), other), counts(group(1), port(), other)], [false, true]);
  assert.equal([counts(group(0)), counts(group(1))], [false, true], 'its own rule does not count');
  const missing = { conditions: [{ type: 'Groups', status: 'False' }] };
  assert.equal([counts(group(0), port()), counts(group(0), port(missing))], [true, false]);
});

test('K13: after a move nothing is left of a run or a binding where it was', () => {
  const said = (...actors: readonly StoredActor[]): string =>
    unsettledParts({ registry, actors, owners: new Map(), hosts: [bare] })
      .filter((line) => line.includes('has no use') || line.includes('nothing of it'))
      .join('; ');
  const standby = { host: 'w2', runEpoch: 2, phase: 'standing' };
  const port = (more: object = {}) => stored('port/a/v.eth0', 'active', { grant: null, host: { name: 'w1' }, ...more });
  const [here, there] = [stored('binding/a/v.eth0@w1', 'ready'), stored('binding/a/v.eth0@w2', 'ready')];
  assert.is(said(running, run, port(), here), '');
  assert.is(said(running, run, port({ standby }), here, there), '');
  assert.is(said(port({ standby: null }), here, there), 'a binding of port/a/v.eth0 on w2 has no use');
  assert.is(
    said(port(), there),
    ['port/a/v.eth0 is active on w1, and nothing of it is there', 'a binding of port/a/v.eth0 on w2 has no use'].join(
      '; ',
    ),
  );
  const left = stored('incarnation/a/v@w2', { alive: 'running' });
  assert.is(said(running, run, left), 'an incarnation of vm/a/v on w2 has no use');
  assert.is(said(running), 'vm/a/v is running on w1, and nothing of it is there');
  assert.is(said(run), 'an incarnation of vm/a/v on w1 has no use', 'the VM has ended');
});

test('K13: a port stands by where it says, and its addresses lead to the host where it is active', () => {
  const [vpc, network, mac] = ['vpc/a/main', 'network/a/n', '02:00:00:00:00:01'];
  const grant = { address: '10.0.0.4', mac, vpc, network: { network } };
  const standby = { host: 'w2', runEpoch: 2, phase: 'standing' };
  const spec = { network: 'n', securityGroups: [], addressPairs: [{ cidr: '10.0.0.26', mac: null }] };
  const port = (more: object = {}) =>
    stored('port/a/p', 'active', { grant, spec, host: { name: 'w1', index: 1 }, runEpoch: 1, standby, ...more });
  const served = { facts: { index: 1 }, networks: {}, removing: false };
  const main = stored(vpc, 'ready', { segments: { w1: served, w2: served }, networks: {} });
  const tap = { tap: 't', owner: 'binding/a/p@w1', port: 'port/a/p', address: '10.0.0.4', mac, groups: [] };
  const placed = { ...tap, pairs: ['10.0.0.26'] };
  const waiting = { ...placed, owner: 'binding/a/p@w2', standby: true };
  const at = (self: number, routes: Record<string, number>) => [
    { vpc, owner: vpc, self, routes: new Map(Object.entries(routes)) },
  ];
  const away = { '10.0.0.4': 1, '10.0.0.26': 1 };
  const hosts = (one: Partial<HostListing>, other: Partial<HostListing>): HostListing[] => [
    { ...bare, taps: [placed], segments: at(1, {}), ...one },
    { ...bare, host: 'w2', taps: [waiting], segments: at(2, away), ...other },
  ];
  const row = { port: 'port/a/p', host: 1, groups: [] };
  const rows = new Map([
    ['10.0.0.4', row],
    ['10.0.0.26', row],
  ]);
  const owners = new Map([[network, new Map([...rows].map(([address]) => [address, { port: 'port/a/p', mac }]))]]);
  const bindings = [stored('binding/a/p@w1', 'ready'), stored('binding/a/p@w2', 'ready')];
  const said = (found: StoredActor, listing: HostListing[], located: Map<string, typeof row> = rows): string =>
    unsettledParts({
      registry,
      actors: [found, main, stored(network, 'ready'), ...bindings],
      owners,
      hosts: listing,
      locations: new Map([[vpc, located]]),
    }).join('; ');
  assert.is(said(port(), hosts({}, {})), '');
  assert.match(said(port(), hosts({}, { taps: [] })), /stands by on w2 .*is wired as \[\]/);
  assert.match(said(port(), hosts({}, { taps: [{ ...waiting, pairs: [] }] })), /stands by on w2/);
  assert.match(said(port({ standby: null }), hosts({}, {})), /stands by on w2, and need not/);
  assert.match(said(port({ standby: { ...standby, phase: 'retiring' } }), hosts({}, {})), /still is retiring on w2/);
  assert.match(said(port(), hosts({ taps: [{ ...placed, pairs: [] }] }, {})), /wired with the pairs none/);
  assert.match(said(port(), hosts({}, { segments: at(2, { '10.0.0.4': 1 }) })), /10.0.0.26 .* leads to no other host/);
  assert.match(said(port(), hosts({ segments: at(1, { '10.0.0.4': 2 }) }, {})), /leads to host 2 from w1/);
  assert.match(
    said(port(), hosts({}, { segments: at(2, { ...away, '10.0.0.9': 1 }) })),
    /10.0.0.9 .*nobody is on none/,
  );
  const lost = new Map([['10.0.0.4', row]]);
  assert.match(said(port(), hosts({}, {}), lost), /is active on w1, and vpc\/a\/main has 10.0.0.26 as null/);
  const astray = new Map([...rows, ['10.0.0.9', row] as const]);
  assert.match(said(port(), hosts({}, {}), astray), /10.0.0.9 is at port\/a\/p, which does not have it/);
});

test('K13: a service IP has its address alone, and hosts have the members that it publishes', () => {
  const [id, vpc, network] = ['service-ip/a/web', 'vpc/a/main', 'network/a/n'];
  const backends = { selector: { app: 'web' } };
  const service = (serving: readonly string[]) =>
    stored(
      id,
      { allocated: 'active' },
      { grant: { address: '10.0.0.9', vpc }, spec: { network: 'n', backends }, serving },
    );
  const grant = { address: '10.0.0.4', mac: '02:00:00:00:00:01', vpc, network: { network } };
  const port = stored('port/a/p', 'active', { grant, labels: { app: 'web' }, host: { name: 'w1' } });
  const element = { address: '10.0.0.9', backends: ['10.0.0.4'] };
  const host = { ...bare, segments: [{ vpc, owner: id }], services: [{ vpc, key: id, element }] };
  const said = (actors: readonly StoredActor[], hosts: readonly HostListing[], holder = id): string => {
    const owners = new Map([[network, new Map([['10.0.0.9', { port: holder, mac: '' }]])]]);
    return unsettledParts({ registry, actors, owners, hosts })
      .filter((line) => line.includes(id) && !line.startsWith('port/'))
      .join();
  };
  assert.is(said([service(['10.0.0.4']), port], [host]), '');
  assert.match(said([service([]), port], [host]), /publishes nobody, and 10\.0\.0\.4 serves.*not with nobody/);
  assert.match(said([service(['10.0.0.4'])], [host]), /publishes 10\.0\.0\.4, and nobody serves/);
  assert.match(said([service(['10.0.0.4']), port], [{ ...host, services: [] }]), /w1 has service-ip\/a\/web as null/);
  assert.match(said([service(['10.0.0.4']), port], [host], 'port/a/p'), /is held by port\/a\/p/);
  assert.match(said([port], [host]), /w1 still has service-ip\/a\/web/);
});

test.run();
