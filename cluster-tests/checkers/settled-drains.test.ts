/** The checker of drained hosts sees what it is for. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import { wrongDrains } from './settled-drains.ts';

const actor = (id: string, context: object) => [id, { id, context } as unknown as StoredActor] as const;
const host = (phase: string | null) =>
  actor('host/system/w1', { drain: { progress: phase === null ? null : { phase } } });
const vm = (name: string, on: string | null) => actor(`vm/acme/${name}`, { host: on === null ? null : { name: on } });
const drain = (...waiting: object[]) => actor('drain/system/w1', { host: 'w1', waiting });
const why = { code: 'no_host', message: 'no host has room' };
const wrong = (...all: (readonly [string, StoredActor])[]): number => wrongDrains(new Map(all)).length;

test('a drained host is empty', () => {
  assert.is(wrong(host('drained'), vm('a', 'w2'), vm('b', null)), 0);
  assert.is(wrong(host('drained'), vm('a', 'w1')), 1);
});

test('a host that is not empty yet has a drain, which knows why each VM stays', () => {
  assert.is(wrong(host('waiting'), drain({ vm: 'vm/acme/a', ...why }), vm('a', 'w1'), vm('b', 'w2')), 0);
  assert.is(wrong(host('waiting'), drain({ vm: 'vm/acme/a', ...why }), vm('a', 'w1'), vm('b', 'w1')), 1);
  assert.is(wrong(host('waiting'), drain({ vm: 'vm/acme/a', code: 'x', message: '' }), vm('a', 'w1')), 1);
  assert.is(wrong(host('moving'), vm('a', 'w1')), 1);
  assert.is(wrong(actor('host/system/w1', { drain: null }), vm('a', 'w1')), 0);
});

test.run();
