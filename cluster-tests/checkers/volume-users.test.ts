/** K21, K29 and the disks of a settled VM: each names the violation it exists for, and passes a correct history. */
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { nothingGivenUp } from './given-up-runs.ts';
import type { KernelFact } from './kernel-facts.ts';
import type { StoreFact } from './store-facts.ts';
import { checkOpenDisks, checkVolumeUsers, wrongDisks } from './volume-users.ts';

const whats = (violations: readonly { readonly checker: string; readonly what: string }[]): string =>
  violations.map(({ checker, what }) => `${checker}: ${what}`).join('; ');

const has = (atMs: number, vm: string, pid: number, ...uids: readonly string[]): KernelFact => ({
  atMs,
  host: 'w1',
  fact: 'incarnation.disks',
  vm,
  pid,
  runEpoch: 1,
  volumes: uids.map((uid) => ({ volume: 'volume/a/disk', uid })),
});

test('K21: a volume of two running VMs is a violation', () => {
  const runs = (vm: string, pid: number): KernelFact => ({
    atMs: pid,
    host: 'w1',
    fact: 'incarnation.runs',
    vm,
    incarnationUid: `L${pid}`,
    pid,
    volumes: ['volume/a/disk'],
  });
  const rests: KernelFact = { atMs: 2, host: 'w1', fact: 'incarnation.rests', vm: 'vm/a/v', pid: 1, reason: 'gone' };
  assert.is(whats(checkVolumeUsers([runs('vm/a/v', 1), rests, runs('vm/a/w', 3)])), '');
  assert.match(
    whats(checkVolumeUsers([runs('vm/a/v', 1), runs('vm/a/w', 3)])),
    /volume\/a\/disk is written by vm\/a\/w/,
  );
});

test('K21: a run that was cut from a volume does not use it, whether it goes on or not', () => {
  const volume = 'volume/a/disk';
  const runs = (atMs: number, host: string, runEpoch: number): KernelFact => ({
    atMs,
    host,
    fact: 'incarnation.runs',
    vm: 'vm/a/v',
    incarnationUid: `L${runEpoch}`,
    pid: 1,
    runEpoch,
    volumes: [volume],
  });
  const served = (...which: number[]): KernelFact => ({
    atMs: 2,
    host: 'w3',
    fact: 'volume.served',
    volume,
    runs: which,
  });
  assert.is(whats(checkVolumeUsers([served(1), runs(1, 'w1', 1), served(2), runs(3, 'w2', 2)])), '');
  assert.is(whats(checkVolumeUsers([served(2), runs(3, 'w2', 2), runs(4, 'w1', 1)])), '', 'it is resumed late');
  assert.match(whats(checkVolumeUsers([runs(1, 'w1', 1), served(1, 2), runs(3, 'w2', 2)])), /is written by vm\/a\/v/);
});

test('K21: a volume that is plugged into a running VM counts, and one that was taken from it does not', () => {
  const runs = (vm: string, pid: number, ...volumes: string[]): KernelFact => ({
    atMs: pid,
    host: 'w1',
    fact: 'incarnation.runs',
    vm,
    incarnationUid: `L${pid}`,
    pid,
    volumes,
  });
  const both = [runs('vm/a/v', 1), runs('vm/a/w', 2), has(3, 'vm/a/v', 1, 'U')];
  assert.match(whats(checkVolumeUsers([...both, has(4, 'vm/a/w', 2, 'U')])), /is written by vm\/a\/w/);
  assert.is(whats(checkVolumeUsers([...both, has(4, 'vm/a/v', 1), has(5, 'vm/a/w', 2, 'U')])), '');
  assert.is(whats(checkVolumeUsers([...both, has(4, 'vm/a/u', 9, 'U')])), '', 'its guest does not run yet');
});

test('K29: what QEMU has open is held by its VM, from before it opens it until it has closed it', () => {
  const held = (atMs: number, holder: string | null): StoreFact => {
    const head = JSON.stringify({ uid: 'A', status: 'live', state: 'held' });
    const fields = { head, context: JSON.stringify({ uid: 'U', holder }) };
    return { atMs, by: 'c1.1', shard: '1', run: atMs, fact: 'record', actor: 'volume/a/disk', fields };
  };
  const check = (seen: readonly KernelFact[], facts: readonly StoreFact[]): string =>
    whats(checkOpenDisks(seen, facts, nothingGivenUp));
  const [opened, closed] = [has(2, 'vm/a/v', 1, 'U'), has(4, 'vm/a/v', 1)];
  assert.is(check([opened, closed], [held(1, 'vm/a/v'), held(5, null)]), '');
  assert.match(
    check([opened, closed], [held(1, 'vm/a/v'), held(3, null)]),
    /open in w1:1 of vm\/a\/v, and nobody holds/,
  );
  assert.match(check([opened], [held(3, 'vm/a/v')]), /nobody holds/, 'before it is held');
  assert.match(check([opened], [held(1, 'vm/a/w')]), /vm\/a\/w holds it/);
  const cut: KernelFact = { atMs: 3, host: 'w2', fact: 'volume.served', volume: 'volume/a/disk', runs: [2] };
  assert.is(check([opened, cut], [held(1, 'vm/a/v'), held(5, null)]), '', 'it was cut before');
  const givenUp = { ...nothingGivenUp, hasRun: () => true };
  assert.is(whats(checkOpenDisks([opened], [held(1, 'vm/a/w')], givenUp)), '');
});

test('a settled VM has the disks that it says, and those that are declared', () => {
  const disk = (volume: string) => ({ volume });
  const vm = (change: object): StoredActor =>
    ({
      id: 'vm/a/v',
      state: 'running',
      context: {
        spec: { disks: [disk('one')] },
        runSpec: { disks: [disk('one')], boot: {} },
        disks: { 'volume/a/one': { volumeUid: 'U1' }, 'volume/a/two': { volumeUid: 'U2' } },
        plugs: {},
        proof: { diskSlots: 8 },
        conditions: [{ type: 'DisksAttached', status: 'True' }],
        host: { name: 'w1' },
        ...change,
      },
    }) as unknown as StoredActor;
  const open = (name: string, uid: string, leaving = false) => ({ volume: `volume/a/${name}`, uid, leaving });
  const one = open('one', 'U1');
  const volume = { id: 'volume/a/two', state: 'available', context: { holder: null, host: null, failure: null } };
  const live = new Map([['volume/a/two', volume as unknown as StoredActor]]);
  const check = (change: object, ...has_: readonly ReturnType<typeof open>[]): string =>
    wrongDisks(vm(change), has_, live).join('; ');
  assert.is(check({}, one), '');
  assert.match(check({}), /is to have volume\/a\/one, and has not/);
  assert.match(check({}, open('one', 'U0')), /and has not/, 'a volume of the same name before');
  assert.match(check({}, open('one', 'U1', true)), /and has not/);
  assert.match(check({}, one, open('two', 'U2')), /has volume\/a\/two open, which it is not to have/);
  assert.match(check({ spec: { disks: [disk('one'), disk('two')] } }, one), /does not take up volume\/a\/two/);
  assert.match(check({ spec: { disks: [] } }, one), /which is not declared/);
  assert.is(check({ spec: { disks: [] }, runSpec: { disks: [disk('one')], boot: null } }, one), '', 'it boots from it');
  const conditions = [{ type: 'DisksAttached', status: 'False' }];
  const going = { spec: { disks: [] }, plugs: { 'volume/a/one': { phase: 'removing', error: null } } };
  assert.is(check({ ...going, conditions }, open('one', 'U1', true)), '');
  assert.match(check({ ...going, conditions }), /waits for its guest to release volume\/a\/one, and it has/);
  assert.match(check(going, one), /says that its disks are attached, and changes them/);
  const both = { disks: [disk('one'), disk('two')] };
  const error = { code: 'volume_in_use' };
  const coming = {
    spec: both,
    runSpec: { ...both, boot: {} },
    plugs: { 'volume/a/two': { phase: 'locating', error } },
  };
  assert.match(check({ ...coming, conditions }, one), /is still locating volume\/a\/two/);
  live.set('volume/a/two', { ...volume, state: 'held' } as unknown as StoredActor);
  assert.is(check({ ...coming, conditions }, one), '', 'another VM has it');
});

test.run();
