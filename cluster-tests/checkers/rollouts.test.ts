/** K27 finds hosts that are activated at once, before the canary, or after a failure; a turn nobody has is found. */
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { KernelFact } from './kernel-facts.ts';
import { checkHostsUnderWay, checkStops, wrongTurn } from './rollouts.ts';
import type { StoreFact } from './store-facts.ts';

const id = 'rollout/system/r';
const line = (host: string, told = 'receive', phase = 'verified') => ({ host, told, phase });

function record(atMs: number, ...hosts: readonly object[]): StoreFact {
  const head = JSON.stringify({ uid: 'U1', status: 'live', state: 'rolling' });
  const context = JSON.stringify({ uid: 'U1', spec: { maxParallel: 1 }, hosts });
  return { atMs, by: 'c1.1', shard: '1', run: 1, fact: 'record', actor: id, fields: { head, context } };
}
const step = (atMs: number, host: string, state: string): KernelFact => ({
  atMs,
  host,
  fact: 'system.step',
  request: 'U1',
  state,
});
const stored = [record(0, line('w1'), line('w2'), line('w3'))];
const whats = (violations: readonly { readonly what: string }[]): string[] => violations.map(({ what }) => what);

test('hosts one after the other, the canary first, break no promise', () => {
  const steps = [
    step(1, 'w1', 'activating'),
    step(2, 'w1', 'confirmed'),
    step(3, 'w2', 'activating'),
    step(4, 'w2', 'rolled-back'),
    step(5, 'w3', 'verified'),
  ];
  assert.equal(checkHostsUnderWay(steps, stored), []);
});

test('two hosts at once, or one before the canary, are found', () => {
  const early = [step(1, 'w2', 'staged')];
  assert.equal(whats(checkHostsUnderWay(early, stored)), [`${id}: w2 is activated, and the canary w1 is not asked`]);
  const twice = [step(1, 'w1', 'confirmed'), step(2, 'w2', 'probing'), step(3, 'w3', 'staged')];
  assert.equal(whats(checkHostsUnderWay(twice, stored)), [`${id}: w2, w3 are activated at once, and 1 may be`]);
});

test('a host that is told to activate after one has failed is found', () => {
  const failed = record(1, line('w1', 'activate', 'rolledBack'), line('w2'), line('w3'));
  assert.equal(checkStops([...stored, failed]), []);
  const next = record(2, line('w1', 'activate', 'rolledBack'), line('w2', 'activate'), line('w3'));
  assert.equal(whats(checkStops([...stored, failed, next])), [`${id} tells w2 to activate after one has failed`]);
});

test('a turn that a rollout keeps after its end, or that nobody has, is found', () => {
  const actor = (of: string, state: string, context: object): StoredActor =>
    ({ id: of, state, context }) as unknown as StoredActor;
  const cluster = actor('cluster/system/main', 'open', { rollout: id });
  const found = (...others: readonly StoredActor[]): readonly string[] =>
    wrongTurn(new Map([cluster, ...others].map((one) => [String(one.id), one])));
  assert.equal(found(actor(id, 'receiving', {})), []);
  assert.equal(found(actor(id, 'failed', {})), [`the cluster waits for ${id}, which is failed`]);
  assert.equal(found(), [`the cluster waits for ${id}, which does not exist`]);
});

test.run();
