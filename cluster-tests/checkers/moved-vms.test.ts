/** K25 names a run epoch that falls and a host that changes without a later one; what is left of a move is found. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import { checkRunEpochs, leftOfMoves } from './moved-vms.ts';
import type { StoreFact } from './store-facts.ts';

const record = (runEpoch: number, host: string | null, uid = 'U1'): StoreFact => ({
  atMs: 1,
  by: 'c1.1',
  shard: 's',
  run: 1,
  fact: 'record',
  actor: 'vm/t/v',
  fields: {
    head: JSON.stringify({ uid, status: 'live', state: 'running' }),
    context: JSON.stringify({ runEpoch, host: host === null ? null : { name: host } }),
  },
});
const found = (...facts: StoreFact[]): string[] => checkRunEpochs(facts).map(({ what }) => what);
const rolledBack: StoreFact = { atMs: 2, by: '', shard: '', run: 2, fact: 'rolled back' };

test('K25: a run epoch that falls, or a host that changes in the same run, is a violation', () => {
  assert.equal(found(record(1, 'w1'), record(2, 'w2'), record(2, 'w2'), record(2, null), record(3, 'w1')), []);
  assert.equal(found(record(2, 'w1'), record(1, 'w1')), ['vm/t/v went from run 2 back to run 1']);
  assert.equal(found(record(2, 'w1'), record(2, 'w2')), ['vm/t/v went from w1 to w2 in run 2']);
  assert.equal(found(record(2, 'w1'), record(1, 'w2', 'U2')), [], 'another VM of the same name');
  assert.equal(found(record(2, 'w1'), rolledBack, record(1, 'w1')), []);
});

test('a second place that no migration uses is left over, one that an operator prepared is not', () => {
  const left = (id: string, context: object, ...others: string[]): readonly string[] =>
    leftOfMoves(
      new Map(
        [[id, context] as const, ...others.map((one) => [one, {}] as const)].map(([name, of]) => [
          name,
          { id: name, context: of } as unknown as StoredActor,
        ]),
      ),
    );
  const standby = { host: 'w2' };
  assert.is(left('port/t/v.eth0', { holder: 'vm/t/v', standby }).length, 1);
  assert.is(left('volume/t/a', { holder: 'vm/t/v', standby }).length, 1);
  assert.is(left('volume/t/a', { holder: null, standby }).length, 1);
  assert.is(left('volume/t/a', { holder: 'vm/t/v', standby }, 'migration/t/v').length, 0);
  assert.is(left('port/t/p', { holder: null, standby }).length, 0);
  assert.is(left('port/t/v.eth0', { holder: 'vm/t/v', standby: null }).length, 0);
});

test.run();
