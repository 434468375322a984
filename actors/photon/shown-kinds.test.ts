/** What every kind shows by convention: the fields of its status, and what its states mean to who looks for trouble. */
import { newDeclared } from '@photoncloud/machines/values/declared';
import { shownStatus } from '@photoncloud/runtime/contract/shown-status';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import { decideInitial } from '@photoncloud/runtime/hosting/decide';
import { chartOf } from '@photoncloud/runtime/inspector/chart-ir';
import { meaningsOf, type Meaning } from '@photoncloud/runtime/inspector/state-meaning';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createRegistry } from '../registry.ts';
import { noAgent, noDataplane, noDeployer, noHosts, noRollouts } from './no-dataplane.ts';

const kinds = [...createRegistry(noDataplane, noAgent, noHosts, noDeployer, noRollouts).kinds.values()];
const failure = { code: 'disk_full', message: 'the disk of w1 is full; free some space', retryable: true };
const condition = { type: 'Ready', status: 'False', reason: 'Waiting', message: '', since: 1 } as const;

test('every kind shows conditions, failure and hosts in the form that the pages and the CLI read', () => {
  for (const { kind, placement, machine, input, view } of kinds) {
    const id = actorId(`${kind}/acme/web-1${placement === 'pinned' ? '@w1' : ''}`);
    const { context } = decideInitial(machine, input(id)).snapshot as { context: object };
    for (const more of [{}, { failure }, { conditions: [condition] }]) {
      // Only what a kind has of its own: a field that it does not have shows nothing.
      const known = Object.keys(more).every((field) => field in context);
      const { status } = view({ ...context, ...(known ? more : {}) } as never);
      const read = shownStatus.safeParse(status);
      assert.ok(read.success, `${kind}: ${JSON.stringify(read.error?.issues)}`);
      if (known) assert.equal({ ...read.data, ...more }, read.data, `${kind} shows its ${Object.keys(more).join()}`);
    }
  }
});

test('a kind that keeps a failure shows it', () => {
  const keeps = kinds.filter(({ machine, input, kind }) => {
    const { context } = decideInitial(machine, input(actorId(`${kind}/acme/a@w1`))).snapshot as { context: object };
    return 'failure' in context;
  });
  assert.equal(
    kinds.filter((kind) => !keeps.includes(kind)).map(({ kind }) => kind),
    // A drain says for each VM why it stays.
    ['cluster', 'drain'],
  );
  assert.ok('failure' in newDeclared('vm/acme/a'));
});

const withMeaning = (wanted: Meaning): string[] =>
  kinds.flatMap(({ kind, machine }) =>
    Object.entries(meaningsOf(chartOf(machine))).flatMap(([id, meaning]) =>
      meaning === wanted ? [`${kind} ${id}`] : [],
    ),
  );

const failedStates = [
  'binding failed',
  'cluster recovering.overdue',
  'host present.refused',
  'host silent',
  'host-rollout failed',
  'host-rollout refused',
  'image refused',
  'image rejected',
  'image-copy rejected',
  'peering failed',
  'peering rejected',
  'plan failed',
  'port failed',
  'replica failed',
  'rollout failed',
  'snapshot failed',
  'snapshot-copy failed',
  'vm failed',
  'vm refused',
  'volume failed',
  'volume held.stuck',
  'volume refused',
  'volume-export failed',
];

const retryingStates = [
  'agent observing.waiting',
  'agent reading.waiting',
  'binding removing.waiting',
  'binding tapping.waiting',
  'binding wiring.waiting',
  'cluster recovering.waiting',
  'deployment lookBackoff',
  'drain waiting',
  'external-address allocating.waiting',
  'external-address waiting',
  'external-network waiting',
  'gateway dropBackoff',
  'gateway waiting',
  'host fencing.waiting',
  'image-copy backoff',
  'image-copy gathering.backoff',
  'image-copy removeBackoff',
  'image-copy storeBackoff',
  'incarnation stopBackoff',
  'network claiming.waiting',
  'plan applyBackoff',
  'plan makeBackoff',
  'plan settleBackoff',
  'plan verifyBackoff',
  'port binding.waiting',
  'port claiming.waiting',
  'port degraded',
  'replica backoff',
  'replica removeBackoff',
  'router degraded',
  'router joining.waiting',
  'segment lagging.changing',
  'segment lagging.ready',
  'segment realizing.waiting',
  'segment removing.waiting',
  'service-check backoff',
  'service-ip allocated.degraded',
  'service-ip allocated.waiting',
  'service-ip claiming.waiting',
  'snapshot askBackoff',
  'snapshot takeBackoff',
  'snapshot-copy backoff',
  'snapshot-copy removeBackoff',
  'vm backoff',
  'vm lost.backoff',
  'vm lost.waiting',
  'vm unplaced',
  'volume fillBackoff',
  'volume restoring.backoff',
  'volume sourceBackoff',
  'volume-export backoff',
  'volume-export cutBackoff',
];

test('states that need attention, and states that wait to try again, are told from those that last', () => {
  assert.equal(withMeaning('failed').toSorted(), failedStates);
  assert.equal(withMeaning('retrying').toSorted(), retryingStates);
  assert.ok(withMeaning('steady').includes('vm running'));
  assert.ok(withMeaning('changing').includes('vm preparing.asking'));
  assert.ok(withMeaning('ended').includes('vm gone'));
});

test.run();
