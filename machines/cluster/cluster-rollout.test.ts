/** One rollout at a time: who has the turn, who is told to wait, and a turn whose holder was lost. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { clusterMachine } from './cluster-machine.ts';
import { held } from './cluster-rows-for-tests.ts';

const [one, two] = ['rollout/system/one', 'rollout/system/two'] as const;
const claim = { type: 'rollout.claim' };
const release = { type: 'rollout.release' };
const granted = ['rollout.granted > rollout'];
const taken = { rollout: one };

const rows: readonly Row[] = [
  { in: 'open', on: claim, from: one, to: 'open', asks: granted },
  { in: 'open', with: taken, on: claim, from: one, to: 'open', asks: granted },
  {
    in: 'open',
    with: taken,
    on: claim,
    from: two,
    to: 'open',
    asks: ['rollout.refused > rollout', 'rollout.ask > rollout'],
  },
  { in: 'recovering.waiting', on: claim, from: one, to: 'recovering.waiting', asks: granted },
];

test('decisions', () => {
  assert.equal(disagreements(clusterMachine, held, rows), []);
});

test('only the holder of the turn ends it', () => {
  const left = (from: string): unknown =>
    decided(clusterMachine, held, { in: 'open', with: taken, on: release, from, to: '' }).context['rollout'];
  assert.equal([left(two), left(one)], [one, null]);
});

test('who has to wait is told whom for, and how to end that', () => {
  const { asked } = decided(clusterMachine, held, { in: 'open', with: taken, on: claim, from: two, to: '' });
  const { event } = asked[0]?.params as { event: { error: { message: string } } };
  assert.match(event.error.message, /^rollout\/system\/one is under way; .*photon rollout abort one$/);
});

test.run();
