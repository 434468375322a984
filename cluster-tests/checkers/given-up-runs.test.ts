/**
 * A run that its VM has given up on a silent host is no violation of K1, K3 and K4 as long as the other hosts drop what
 * comes from there; any other second run is, and so is one that was given up and is not fenced off.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { givenUpIn } from './given-up-runs.ts';
import { checkRunningIncarnations, checkWiredAddresses, type KernelFact } from './kernel-facts.ts';
import type { StoreFact } from './store-facts.ts';

const vm = 'vm/a/v';
const port = 'port/a/v.eth0';
const vpc = 'vpc/a/main';

function record(atMs: number, actor: string, context: object, uid = 'U'): StoreFact {
  const fields = { head: JSON.stringify({ uid, status: 'live', state: 'x' }), context: JSON.stringify(context) };
  return { atMs, by: 'c1.1', shard: '1', run: atMs, fact: 'record', actor, fields };
}
const rolledBack: StoreFact = { atMs: 30, by: '', shard: '', run: 30, fact: 'rolled back' };
const running = record(1, vm, { runEpoch: 3, lastLoss: null });
const left = record(20, vm, { runEpoch: 3, lastLoss: { host: 'w1', toldAt: 10, leftAt: 20 } });
const abandoned = [{ host: { name: 'w1', index: 1 }, runEpoch: 3, addresses: ['10.0.0.4'], absent: ['w4'] }];
const givingUp = record(15, port, { abandoned });
const isBack = record(40, port, { abandoned: [] });

const runs = (atMs: number, host: string, runEpoch: number): KernelFact => ({
  atMs,
  host,
  fact: 'incarnation.runs',
  vm,
  incarnationUid: `L${runEpoch}`,
  pid: 1,
  runEpoch,
});

test('K1: a run that was given up may go on, and no other', () => {
  const check = (stored: readonly StoreFact[], ...facts: KernelFact[]): number =>
    checkRunningIncarnations(facts, givenUpIn(stored)).length;
  const both = [runs(2, 'w1', 3), runs(25, 'w2', 4)] as const;
  assert.is(check([running, left], ...both), 0);
  const begun: KernelFact = { atMs: 2, host: 'w1', fact: 'incarnation.disks', vm, pid: 1, runEpoch: 3, volumes: [] };
  assert.is(check([running, left], begun, runs(2, 'w2', 4), runs(25, 'w1', 3)), 0, 'it is resumed late');
  assert.is(check([running], ...both), 1, 'it was not given up');
  assert.is(check([running, left], runs(2, 'w1', 3), runs(19, 'w2', 4)), 1, 'not yet');
  assert.is(check([running, left], runs(2, 'w3', 3), runs(25, 'w2', 4)), 1, 'on another host');
  assert.is(check([running, left], runs(2, 'w1', 4), runs(25, 'w2', 5)), 1, 'a later run there');
  assert.is(check([record(1, vm, { runEpoch: 3 }, 'OTHER'), left], ...both), 1, 'of another VM of this name');
  assert.is(check([running, left, rolledBack], ...both), 1);
  const anew = record(30, vm, { runEpoch: 1 }, 'OTHER');
  assert.is(check([running, left, anew], ...both), 0, 'the VM is declared anew since');
  assert.is(check([running, left, anew], runs(32, 'w1', 1), runs(33, 'w2', 2)), 1, 'of the VM that was declared anew');
});

const wired = (atMs: number, host: string, runEpoch: number, more: object = {}): KernelFact => ({
  atMs,
  host,
  fact: 'tap.wired',
  tap: `t-${host}`,
  port,
  vpc,
  network: 'network/a/n',
  runEpoch,
  mac: '02:00:00:00:00:01',
  address: '10.0.0.4',
  ...more,
});
const other = { port: 'port/a/q', address: '10.0.0.5', mac: '02:00:00:00:00:02' };
const up = (host: string, index: number): KernelFact => ({ atMs: 1, host, fact: 'segment.up', vpc, vni: 1, index });
const fenced = (atMs: number, host: string, ...dropped: string[]): KernelFact => ({
  atMs,
  host,
  fact: 'segment.fenced',
  vpc,
  dropped,
});

test('K3 and K4: what was given up may keep its addresses while other hosts drop what comes from there', () => {
  const check = (stored: readonly StoreFact[], ...facts: KernelFact[]): number =>
    checkWiredAddresses(facts, undefined, givenUpIn(stored)).length;
  const before = [up('w1', 1), up('w2', 2), wired(2, 'w1', 3)];
  const drops = fenced(18, 'w2', '1 10.0.0.4');
  const next = wired(25, 'w2', 4);
  assert.is(check([givingUp], ...before, drops, next), 0);
  assert.is(check([givingUp], ...before, next), 3, 'address, MAC and port: nothing is dropped');
  assert.is(check([], ...before, drops, next), 3, 'it was not given up');
  assert.is(check([givingUp, isBack], ...before, drops, { ...next, atMs: 45 }), 3, 'its host is back');
  assert.is(check([givingUp], ...before, fenced(18, 'w2', '1 10.0.0.9', '3 10.0.0.4'), next), 3, 'something else');
  assert.is(check([givingUp], ...before, wired(3, 'w3', 1, other), drops, next), 3, 'w3 has a guest there');
  assert.is(check([givingUp], ...before, wired(3, 'w4', 1, other), drops, next), 0, 'w4 is silent, too');
  assert.is(
    check([givingUp], ...before, drops, next, fenced(28, 'w2')),
    6,
    'the fence is lifted too early, as both see',
  );
  assert.is(check([givingUp], ...before, drops, wired(25, 'w2', 4, { port: 'port/a/q' })), 2, 'another port');
});

test.run();
