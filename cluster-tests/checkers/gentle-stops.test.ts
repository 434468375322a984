import { actorId } from '@photoncloud/runtime/contract/identifiers';
import { shardOf } from '@photoncloud/runtime/journal/shard-placement';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checkGentleStop } from './gentle-stops.ts';
import type { Performance } from './runtime-promises.ts';

const test = suite('gentle stops');

const actor = 'oven/t/oven0';
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

test('an effect that had ended before its shard was given away is not begun anew', () => {
  const broken = checkGentleStop([], [performed('n1.1', 900, 1_100), performed('n2.1', 1_450, 1_600)], stop);
  assert.match(broken.join('; '), 'K15');
  assert.equal(checkGentleStop([], [performed('n1.1', 900), performed('n2.1', 1_450, 1_600)], stop), []);
});

test('of an effect that was begun anew where it was, the last run counts', () => {
  const runs = [performed('n1.1', 900, 1_100), performed('n1.1', 1_050), performed('n2.1', 1_450, 1_600)];
  assert.equal(checkGentleStop([], runs, stop), []);
});

test.run();
