/** K15 on hand-written effect performances around one graceful stop. */
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import { shardOf } from '@photoncloud/runtime/journal/shard-placement';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checkGracefulStop } from './graceful-stops.ts';
import type { Performance } from './runtime-promises.ts';

const test = suite('graceful stops');

const actor = 'oven/t/a0';
const shard = shardOf(actorId(actor));
const stop = {
  by: 'n1.1',
  askedMs: 1_000,
  endedMs: 1_500,
  repeats: 0,
  handovers: [{ atMs: 1_400, by: 'n1.1', shard }],
};

const performed = (by: string, atMs: number, endedMs?: number): Performance => ({
  atMs,
  by,
  effectId: `${actor}#1.0`,
  actor,
  fence: { era: 1, ownerEpoch: 1, version: 1 },
  recovered: false,
  stale: false,
  ...(endedMs === undefined ? {} : { endedMs }),
});

test('an effect that ended before its shard was handed over must not start again on the new owner', () => {
  const broken = checkGracefulStop([], [performed('n1.1', 900, 1_100), performed('n2.1', 1_450, 1_600)], stop);
  assert.match(broken.join('; '), 'K15');
  assert.equal(checkGracefulStop([], [performed('n1.1', 900), performed('n2.1', 1_450, 1_600)], stop), []);
});

test('when the old owner itself started an effect twice, the last run counts', () => {
  const runs = [performed('n1.1', 900, 1_100), performed('n1.1', 1_050), performed('n2.1', 1_450, 1_600)];
  assert.equal(checkGracefulStop([], runs, stop), []);
});

test.run();
