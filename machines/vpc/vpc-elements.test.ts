/**
 * Elements of other objects: published to every host, realized or removed when all hosts have proven it.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, type Row } from '../values/decision-table-for-tests.ts';
import type { VpcContext } from './vpc-context.ts';
import { vpcMachine } from './vpc-machine.ts';
import { held, host, lasting, proven, section, two, view as viewOf } from './vpc-rows-for-tests.ts';

const owned = 'address-sets';
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

test('an element waits for no host that its owner says is silent, whatever that one proves later', () => {
  const made = step({ ...held, ...hosts }, { ...put(1), absent: ['w2'] });
  assert.equal(made.asks, ['segment.publish > segment', 'segment.publish > segment'], 'it is sent there, too');
  const one = step(made.after, proven(1, { [owned]: 3 }));
  assert.equal(one.asks, ['element.realized > x']);
  assert.equal(step(one.after, proven(2, { [owned]: 3 })).asks, []);
  // More are silent by now: asked again, nothing is published again.
  const again = step(made.after, { ...put(1), absent: ['w1', 'w2'] });
  assert.equal(again.asks, ['element.realized > x']);
});

test('an owner that wants to know is told for which few hosts the VPC waits, once for each of them less', () => {
  const five = Object.fromEntries([1, 2, 3, 4, 5].map((n) => [`w${n}`, viewOf(n, { [owned]: {} })]));
  const told = ({ asked }: ReturnType<typeof step>) =>
    (asked as readonly { params: { event?: { type: string; hosts: readonly string[] } } }[]).flatMap(({ params }) =>
      params.event?.type === 'element.lagging' ? [params.event.hosts] : [],
    );
  const lacking = (asking: object, ...provers: readonly number[]) => {
    let at = step({ ...held, segments: five }, { ...put(1), ...asking });
    return [told(at), ...provers.map((n) => told((at = step(at.after, proven(n, { [owned]: 3 })))))];
  };
  const asking = { tellsLagging: true };
  const [three, two3, one] = [['w3', 'w4', 'w5'], ['w3', 'w5'], ['w3']];
  assert.equal(lacking(asking, 1, 2, 2, 4, 5, 3), [[], [], [three], [], [two3], [one], []]);
  assert.equal(lacking({}, 1, 2, 4, 5), [[], [], [], [], []]);
  const alone = step({ ...held, ...hosts }, { ...put(1), ...asking });
  assert.equal(told(alone), [], 'nobody has proven it yet');
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
  const row = { in: 'ready', on, command: 'c', rows: { 'location/*': {}, 'peer-member/*': {} }, to: '' };
  assert.equal(decided(vpcMachine, { ...after, networks: {} }, row).asks, ['reject in_use']);
});

test('a key belongs to the owner that put it first', () => {
  const { after } = step(held, put(1));
  const { asked } = decided(vpcMachine, after, { in: 'ready', on: put(2), from: 'x/t/other', to: '' });
  const [refused] = asked as readonly { params: { to: string; event: { type: string; error: { code: string } } } }[];
  assert.equal(
    [refused?.params.to, refused?.params.event.type, refused?.params.event.error.code],
    ['x/t/other', 'element.delayed', 'element_taken'],
  );
  assert.equal(after.elements[owned]?.[key]?.owner, key);
});

const everything = { 'location/*': {}, 'peer-member/*': {} };
const stepWith = (context: object, on: Row['on'], from = key) => {
  const { asks, context: after } = decided(vpcMachine, context, { in: 'ready', on, from, rows: everything, to: '' });
  return { asks, after: after as unknown as VpcContext };
};

test('an element brings a segment to its hosts, which goes with it; a port there keeps it', () => {
  const made = stepWith(held, { ...put(1), hosts: [host(7)] });
  assert.equal(made.asks, ['segment.publish > segment']);
  assert.equal(Object.keys(made.after.segments), ['w7']);
  const again = stepWith(made.after, { ...put(2), hosts: [host(7), host(8)] });
  assert.equal(again.after.segments['w8']?.facts, host(8));
  const fewer = stepWith(again.after, { ...put(3), hosts: [host(8)] });
  assert.ok(fewer.asks.includes('segment.withdraw > segment'));
  assert.is(fewer.after.segments['w7']?.removing, true);
  assert.is(fewer.after.segments['w8']?.removing, false);
  const used = stepWith(made.after, { type: 'segment.need', port: 'port/t/p', host: host(7), network: 'network/t/a' });
  const kept = stepWith(used.after, remove);
  assert.is(kept.after.segments['w7']?.removing, false);
});

test('a host that cannot carry a network of the VPC is refused for an element, too', () => {
  const small = { ...host(7), underlayMtu: 1_400 };
  const { asks, after } = stepWith({ ...held, ...hosts }, { ...put(1), hosts: [small] });
  assert.equal(asks, ['element.delayed > x']);
  assert.is(after.segments['w7'], undefined);
});

test('a segment that an element needs comes again after its end, unless its host is fenced', () => {
  const made = stepWith(held, { ...put(1), hosts: [host(7)] });
  const leaving = { ...made.after, segments: { w7: { ...made.after.segments['w7'], removing: true } } };
  const removed = { type: 'segment.removed', host: 'w7', heard: {} };
  assert.is(stepWith(leaving, removed).after.segments['w7']?.removing, false);
  const error = { code: 'host_gone', message: 'x', retryable: false };
  const fenced = { type: 'segment.failed', host: 'w7', section: null, heard: { overlay: 1 }, error };
  const heard = Object.fromEntries(Object.keys(made.after.segments['w7']?.sections ?? {}).map((name) => [name, 1]));
  assert.equal(stepWith(made.after, { ...fenced, heard }).after.segments, {});
});

test('an element waits for the one that it requires, and is told when that goes', () => {
  const requires = { section: owned, key: 'x/t/base', fields: { n: 1 } };
  const early = step(held, { ...put(1), requires });
  assert.equal(early.asks, ['element.delayed > x']);
  const base = { ...put(1), key: 'x/t/base' };
  const other = step(early.after, { ...base, element: { n: 2 } });
  assert.equal(other.asks, ['element.realized > x'], 'one whose fields differ does not fit: only itself is realized');
  const there = step(other.after, { ...base, generation: 2 });
  assert.equal(there.asks, ['element.realized > x', 'element.realized > x']);
  const gone = step(there.after, { ...remove, key: 'x/t/base' });
  assert.equal(gone.asks, ['element.delayed > x', 'element.removed > x']);
});

test.run();
