/** When `settle` ends and with which result, on a scripted watch whose frames come in the order of the control API. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { deadlineIn } from './deadline.ts';
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
    call: async () => ({ ...stored, reason: 'no disk' }),
  };
  const asked = { deadline: deadlineIn(5), onWait: () => {}, ...options };
  return await settle(client as unknown as PhotonClient, id, asked).catch((error: unknown) => {
    if (error instanceof PhotonError) return error.record.code;
    throw error;
  });
}

test('it ends in a resting state of the kind, or in a requested state', async () => {
  assert.is(await outcome([items(seen('placing')), synced, changed('running')]), 'running');
  assert.is(await outcome([items(seen('running')), synced, changed('stopped')], { until: /^stopped$/ }), 'stopped');
});

test('removal during the wait is a failure, unless `removed` was requested', async () => {
  const gone = [items(seen('running')), synced, changed('stopped', 'removed')];
  assert.is(await outcome(gone, { until: /^stopped$/ }), 'not_settled');
  assert.is(await outcome(gone, { until: /^removed$/ }), 'removed');
});

test('an object that was removed before ends the wait at once, although the watch does not list it', async () => {
  const before = seen('stopped', 'removed');
  assert.is(await outcome([items(), synced], { until: /^removed$/ }, before), 'removed');
  assert.is(await outcome([items(), synced], { until: /^running$/ }, before), 'not_settled');
});

test('a failed state ends the wait, unless the caller requested named states', async () => {
  const failing = [items(seen('failed')), synced];
  assert.is(await outcome(failing), 'not_settled');
  assert.is(await outcome(failing, { until: /^running$/, failing: true }), 'not_settled');
  assert.is(await outcome([...failing, changed('running')], { until: /^running$/ }), 'running');
});

test('what its newest declaration waits for is said meanwhile, and at the end', async () => {
  const message = 'volume/acme/data is attached to vm/acme/other';
  const conditions = [{ type: 'DisksAttached', status: 'False', reason: 'Refused', message }];
  const client = {
    async *watch(_: unknown, signal: AbortSignal) {
      yield* [items(seen('running')), synced];
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
    call: async () => ({ ...seen('running'), status: { generation: 2, observedGeneration: 1, conditions } }),
  };
  const said: string[] = [];
  const waiting = settle(client as unknown as PhotonClient, id, {
    deadline: deadlineIn(1),
    onWait: (text) => said.push(text),
  });
  const { record } = (await waiting.catch((error: unknown) => error)) as PhotonError;
  assert.equal([record.code, record.message], ['wait_timeout', `${id} is still running after 1 s: ${message}`]);
  assert.equal(said, [`${id} running`, `${id} running: ${message}`]);
});

test.run();
