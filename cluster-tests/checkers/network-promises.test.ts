/** Each checker of networks and ports names the violation it exists for, and passes a correct history. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { KernelFact } from './kernel-facts.ts';
import {
  checkAddressHolders,
  checkGenerations,
  checkPortProofs,
  checkTenantReferences,
  movesIn,
} from './network-promises.ts';
import type { StoreFact } from './store-facts.ts';

interface Written {
  readonly uid?: string;
  readonly status?: 'live' | 'removed';
  readonly state?: unknown;
}

function record(atMs: number, actor: string, context: object, { uid = 'U', ...more }: Written = {}): StoreFact {
  const head = JSON.stringify({ uid, status: 'live', state: 'active', ...more });
  const fields = { head, context: JSON.stringify(context) };
  return { atMs, by: 'c1.1', shard: '1', run: atMs, fact: 'record', actor, fields };
}
const rolledBack: StoreFact = { atMs: 5, by: '', shard: '', run: 5, fact: 'rolled back' };
const whats = (violations: readonly { readonly checker: string; readonly what: string }[]): string =>
  violations.map(({ checker, what }) => `${checker}: ${what}`).join('; ');

const grant = (address: string, mac = `02:00:00:00:00:${address.split('.')[3]}`, uid = 'N') => ({
  grant: { address, mac, network: { network: 'network/a/n', uid } },
});
const gone = { status: 'removed' } as const;

test('K17: an address or a MAC that two ports have at once is a violation, one that was handed on is not', () => {
  const check = (...facts: StoreFact[]): string => whats(checkAddressHolders(facts, false));
  const first = record(1, 'port/a/p', grant('10.0.0.4'));
  assert.is(check(first, record(2, 'port/a/q', grant('10.0.0.5'))), '');
  assert.is(check(first, record(2, 'port/b/q', grant('10.0.0.4', '02:00:00:00:00:04', 'OTHER'))), '');
  assert.is(check(first, record(2, 'port/a/p', {}, gone), record(3, 'port/a/q', grant('10.0.0.4'))), '');
  assert.is(check(first, rolledBack, record(6, 'port/a/q', grant('10.0.0.4'))), '');
  const second = record(2, 'port/a/q', grant('10.0.0.4', '02:00:00:00:00:99'));
  assert.match(
    check(first, second),
    /^K17: address 10.0.0.4 of network\/a\/n is recorded for port\/a\/q and for port\/a\/p$/,
  );
  assert.match(check(first, record(2, 'port/a/q', grant('10.0.0.9', '02:00:00:00:00:4'))), /^K17: mac 02:/);
});

test('K17: an address and a MAC of a pair are recorded for one port, and rest when the pair goes', () => {
  const check = (...facts: StoreFact[]): string => whats(checkAddressHolders(facts, true));
  const pair = (cidr: string, mac: string | null = null) => ({ spec: { addressPairs: [{ cidr, mac }] } });
  const first = record(1, 'port/a/p', { ...grant('10.0.0.4'), ...pair('10.0.0.26/31') });
  assert.is(check(first, record(2, 'port/a/q', { ...grant('10.0.0.5'), ...pair('10.0.0.28') })), '');
  assert.is(check(first, record(2, 'port/a/q', { ...pair('10.0.0.26') })), '', 'it has no address yet');
  assert.match(
    check(first, record(2, 'port/a/q', { ...grant('10.0.0.5'), ...pair('10.0.0.27') })),
    /^K17: address 10.0.0.27 of network\/a\/n is recorded for port\/a\/q and for port\/a\/p$/,
  );
  assert.match(check(first, record(2, 'port/a/q', grant('10.0.0.26'))), /^K17: address 10.0.0.26/);
  const theirs = { ...grant('10.0.0.5'), ...pair('10.0.0.28', '02:00:00:00:00:4') };
  assert.match(check(first, record(2, 'port/a/q', theirs)), /^K17: mac 02:00:00:00:00:4 /);
  const without = record(2, 'port/a/p', grant('10.0.0.4'));
  assert.match(check(first, without, record(9, 'port/a/q', grant('10.0.0.26'))), /10.0.0.26 .* went to port\/a\/q/);
  assert.is(check(first, without, record(9, 'port/a/p', { ...grant('10.0.0.4'), ...pair('10.0.0.26') })), '');
});

test('K4: a port moves while its record says so', () => {
  const standing = (atMs: number, host: string, runEpoch: number, standby: object | null): StoreFact =>
    record(atMs, 'port/a/p', { host: { name: host }, runEpoch, standby });
  const moves = movesIn([
    standing(1, 'w1', 1, { host: 'w2', runEpoch: 2 }),
    standing(3, 'w2', 2, { host: 'w1', runEpoch: 1 }),
    standing(5, 'w2', 2, null),
  ]);
  const move = { from: 'w1', to: 'w2' };
  const during = [0, 2, 3, 4, 6].map((atMs) => moves('port/a/p', move, atMs));
  assert.equal(during, [false, false, true, true, false]);
  assert.equal([moves('port/a/p', { from: 'w3', to: 'w2' }, 3), moves('port/a/q', move, 3)], [false, false]);
});

test('K17: a released address rests for everybody but its last port, where no clock was set', () => {
  const history = (port: string, atMs: number): StoreFact[] => [
    record(1, 'port/a/p', grant('10.0.0.4')),
    record(1_000, 'port/a/p', {}, gone),
    record(atMs, port, grant('10.0.0.4')),
  ];
  assert.match(whats(checkAddressHolders(history('port/a/q', 31_000), true)), /went to port\/a\/q 30.0 s after/);
  assert.is(whats(checkAddressHolders(history('port/a/q', 31_000), false)), '');
  assert.is(whats(checkAddressHolders(history('port/a/p', 31_000), true)), '');
  assert.is(whats(checkAddressHolders(history('port/a/q', 700_000), true)), '');
});

test('K18: a record or a message that leads to another tenant is a violation', () => {
  const check = (...facts: StoreFact[]): string =>
    whats(checkTenantReferences(facts, new Set(['port', 'vpc', 'host', 'network'])));
  const spec = { vpc: 'vpc/a/main', host: 'host/system/w1', cidr: '10.0.0.0/24', note: 'path/of/something' };
  assert.is(check(record(1, 'port/a/p', { spec })), '');
  assert.is(check(record(1, 'cluster/system/main', { vnis: { 7: 'vpc/b/main' } })), '');
  assert.match(check(record(1, 'port/a/p', { spec: { ...spec, vpc: 'vpc/b/main' } })), /port\/a\/p names vpc\/b\/main/);
  const sent = (from: string, to: string): StoreFact => {
    const message = { from, to, seq: 1, event: { type: 'port.bind' } } as never;
    return { atMs: 1, by: 'c1.1', shard: '1', run: 1, fact: 'sent', message };
  };
  assert.is(check(sent('port/a/p', 'vpc/a/main'), sent('port/a/p', 'host/system/w1')), '');
  assert.match(check(sent('port/a/p', 'vpc/b/main')), /port\/a\/p sent port.bind to vpc\/b\/main/);
});

const proven = (generation: number, owner = 'S'): KernelFact => ({
  atMs: generation,
  host: 'w1',
  fact: 'section.proven',
  vpc: 'vpc/a/main',
  owner,
  section: 'routes',
  generation,
});

test('K19: a generation that falls, or is observed before it was declared, is a violation', () => {
  const generations = (...pairs: (readonly [number, number])[]): string =>
    whats(
      checkGenerations(
        pairs.map(([generation, observedGeneration], at) => record(at, 'port/a/p', { generation, observedGeneration })),
        [],
      ),
    );
  assert.is(generations([1, 0], [2, 1], [2, 2]), '');
  assert.match(generations([1, 2]), /observed generation 2, declared 1/);
  assert.match(generations([2, 0], [1, 0]), /its generation fell from 2 to 1/);
  assert.match(generations([2, 2], [3, 1]), /its observed generation fell from 2 to 1/);
  const again = record(9, 'port/a/p', { generation: 1, observedGeneration: 0 }, { uid: 'V' });
  assert.is(whats(checkGenerations([record(1, 'port/a/p', { generation: 2, observedGeneration: 2 }), again], [])), '');
  assert.is(whats(checkGenerations([], [proven(2), proven(2), proven(3), proven(1, 'NEXT')])), '');
  assert.match(whats(checkGenerations([], [proven(3), proven(2)])), /w1 proved generation 2 of routes.*after 3/);
});

test('K20: an active port whose proof its kernel never had, or without the groups of its spec, is a violation', () => {
  const wired: KernelFact = {
    atMs: 10,
    host: 'w1',
    fact: 'tap.wired',
    tap: 't1',
    port: 'port/a/p',
    vpc: 'vpc/a/main',
    network: 'network/a/n',
    mac: '02:00:00:00:00:4',
    address: '10.0.0.4',
    groups: ['security-group/a/web'],
  };
  const active = (atMs: number, more: object = {}): StoreFact =>
    record(atMs, 'port/a/p', {
      ...grant('10.0.0.4'),
      host: { name: 'w1' },
      proof: { tap: 't1', groups: ['security-group/a/web'] },
      spec: { securityGroups: ['web'] },
      generation: 1,
      observedGeneration: 1,
      ...more,
    });
  const check = (fact: StoreFact): string => whats(checkPortProofs([fact], [wired]));
  assert.is(check(active(11)), '');
  assert.match(check(active(9)), /its kernel had no such wiring/);
  assert.match(check(active(11, grant('10.0.0.5'))), /no such wiring/);
  assert.match(check(active(11, { host: { name: 'w2' } })), /no such wiring/);
  assert.match(check(active(11, { proof: null })), /no such wiring/);
  const regrouped = { spec: { securityGroups: ['db'] }, generation: 2 };
  assert.is(check(active(11, regrouped)), '', 'the newest spec is not realized yet');
  assert.match(check(active(11, { ...regrouped, observedGeneration: 2 })), /security-group\/a\/web is proven/);
});

test.run();
