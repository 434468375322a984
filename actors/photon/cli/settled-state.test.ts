/** When waiting ends, and how: on a scripted watch, in the order in which the control API says things. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { settle, type SettleOptions } from './settled-state.ts';

const id = 'vm/acme/web-1';
const seen = (stateName: string, lifecycle = 'live') => ({ id, stateName, lifecycle });
const items = (...actors: object[]) => ({ type: 'items', actors });
const changed = (stateName: string, lifecycle?: string) => ({ type: 'changed', actor: seen(stateName, lifecycle) });
const synced = { type: 'synced' };

/** @returns the state, or the code of the refusal */
async function outcome(frames: readonly object[], options: Partial<SettleOptions> = {}, stored = seen('running')) {
  const client = {
    async *watch() {
      yield* frames;
    },
    call: async () => ({ ...stored, status: { failure: { message: 'no disk' } } }),
  };
  const asked = { timeoutMs: 5_000, onWait: () => {}, ...options };
  return await settle(client as unknown as PhotonClient, id, asked).catch((error: unknown) => {
    if (error instanceof PhotonError) return error.record.code;
    throw error;
  });
}

test('it ends in a state of rest, or in one that was asked for', async () => {
  assert.is(await outcome([items(seen('placing')), synced, changed('running')]), 'running');
  assert.is(await outcome([items(seen('running')), synced, changed('stopped')], { until: /^stopped$/ }), 'stopped');
});

test('what is removed meanwhile is no success, unless that was waited for', async () => {
  const gone = [items(seen('running')), synced, changed('stopped', 'removed')];
  assert.is(await outcome(gone, { until: /^stopped$/ }), 'not_settled');
  assert.is(await outcome(gone, { until: /^removed$/ }), 'removed');
});

test('what was removed before is not waited for: a snapshot leaves it out', async () => {
  const before = seen('stopped', 'removed');
  assert.is(await outcome([items(), synced], { until: /^removed$/ }, before), 'removed');
  assert.is(await outcome([items(), synced], { until: /^running$/ }, before), 'not_settled');
});

test('a failed state ends the waiting, unless the caller waits for states by name', async () => {
  const failing = [items(seen('failed')), synced];
  assert.is(await outcome(failing), 'not_settled');
  assert.is(await outcome(failing, { until: /^running$/, failing: true }), 'not_settled');
  assert.is(await outcome([...failing, changed('running')], { until: /^running$/ }), 'running');
});

test.run();
