/**
 * Elements of other objects: published to every host, realized or removed when all hosts have proven it.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, type Row } from '../values/decision-table-for-tests.ts';
import type { VpcContext } from './vpc-context.ts';
import { vpcMachine } from './vpc-machine.ts';
import { held, lasting, proven, section, two } from './vpc-rows-for-tests.ts';
import { sections } from './vpc-sections.ts';

const owned = sections.find(({ name }) => !['overlay', 'networks', 'routes'].includes(name))?.name ?? '';
const key = 'x/t/one';
const put = (generation: number, element: unknown = { n: generation }) => ({
  type: 'element.put',
  section: owned,
  key,
  element,
  generation,
});
const remove = { type: 'element.remove', section: owned, key };
const hosts = {
  segments: Object.fromEntries(
    Object.entries(two.segments).map(([name, view]) => [
      name,
      { ...view, sections: { ...view.sections, [owned]: section() } },
    ]),
  ),
};

function step(context: object, on: Row['on'], to = 'ready') {
  const { asks, asked, context: after } = decided(vpcMachine, context, { in: to, on, from: key, to: '' });
  return { asks, asked, after: after as unknown as VpcContext };
}

test('without a host it is realized at once, and gone at once', () => {
  const made = step(held, put(1));
  assert.equal(made.asks, ['element.realized > x']);
  assert.equal(step(made.after, remove).asks, ['element.removed > x']);
  assert.equal(step(held, remove).asks, ['element.removed > x'], 'a repeated removal is answered again');
});

test('each host gets one element, and the owner gets a message when the last has proven it', () => {
  const made = step({ ...held, ...hosts }, put(1));
  assert.equal(made.asks, ['segment.publish > segment', 'segment.publish > segment']);
  const [first] = made.asked as readonly { params: { event: { updates: readonly object[] } } }[];
  assert.equal(first?.params.event.updates, [
    { section: owned, from: 2, to: 3, put: { [key]: { n: 1 } }, removed: [] },
  ]);
  const one = step(made.after, proven(1, { [owned]: 3 }));
  assert.equal(one.asks, []);
  const both = step(one.after, proven(2, { [owned]: 3 }));
  assert.equal(both.asks, ['element.realized > x']);
  assert.equal(step(both.after, proven(2, { [owned]: 3 })).asks, [], 'reported once');
  const changed = step(both.after, put(2));
  assert.equal(changed.asks.length, 2);
  assert.equal(step(changed.after, proven(1, { [owned]: 3 })).asks, [], 'an earlier generation proves nothing');
});

test('a removed element is gone when every host has proven its absence', () => {
  const made = step({ ...held, ...hosts }, put(1));
  const gone = step(made.after, remove);
  assert.equal(gone.asks, ['segment.publish > segment', 'segment.publish > segment']);
  const one = step(gone.after, proven(1, { [owned]: 4 }));
  assert.equal(one.asks, []);
  assert.equal(step(one.after, proven(2, { [owned]: 4 })).asks, ['element.removed > x']);
});

test('a failing host is reported to the owner; an unknown section is refused', () => {
  const made = step({ ...held, ...hosts }, put(1));
  const failed = { type: 'segment.failed', host: 'w1', section: owned, heard: { [owned]: 3 }, error: lasting };
  assert.ok(step(made.after, failed).asks.includes('element.delayed > x'));
  assert.equal(step(held, { ...put(1), section: 'nonsense' }).asks, ['element.delayed > x']);
});

test('a VPC with elements is in use', () => {
  const { after } = step(held, put(1));
  const on = { type: 'vpc.delete' };
  const row = { in: 'ready', on, command: 'c', rows: { 'location/*': {} }, to: '' };
  assert.equal(decided(vpcMachine, { ...after, networks: {} }, row).asks, ['reject in_use']);
});

test.run();
