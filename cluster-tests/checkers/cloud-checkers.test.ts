/** Each checker of the cloud names the violation it exists for, and passes a correct run. */
import { noAgent, noDataplane, noHosts } from '@photoncloud/actors/photon/no-dataplane';
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

const registry = createRegistry(noDataplane, noAgent, noHosts);
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
  chartVersion: 1,
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
  assert.equal(check({ ...stored('vm/a/v', 'running'), chartVersion: 2 }), ['K11']);
  assert.equal(check(stored('vm/a/v', 'gone')), ['K11']);
});

const bare: HostListing = { host: 'w1', incarnations: [], taps: [], segments: [], leases: [] };
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

test.run();
