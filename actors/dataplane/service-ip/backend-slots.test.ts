/** Slots of backends: within their bounds, the same for the same set, and few move when a backend comes or goes. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backendSlots, slotCount } from './backend-slots.ts';

const addresses = (count: number, subnet: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `10.${subnet}.1.${index + 10}`);
const counted = (slots: readonly string[]): ReadonlyMap<string, number> =>
  new Map([...Map.groupBy(slots, (one) => one)].map(([backend, all]) => [backend, all.length]));

test('every slot has a backend, and every backend between a half and one and a half of its share', () => {
  assert.equal(backendSlots([]), []);
  assert.equal(new Set(backendSlots(['10.0.0.1'])), new Set(['10.0.0.1']));
  for (const count of [1, 2, 3, 5, 10, 20, 64])
    for (const subnet of [1, 2, 3]) {
      const backends = addresses(count, subnet);
      const slots = backendSlots(backends);
      assert.is(slots.length, slotCount);
      const counts = counted(slots);
      const share = slotCount / count;
      const bounds = [Math.floor(share * 0.5), Math.ceil(share * 1.5)] as const;
      for (const backend of backends) {
        const slotsOf = counts.get(backend) ?? 0;
        assert.ok(slotsOf >= bounds[0] && slotsOf <= bounds[1], `${slotsOf} slots of one of ${count} backends`);
      }
      assert.equal(backendSlots(backends.toReversed()), slots, 'the order of the backends matters');
    }
});

/** Slots of backends that stay, of which this share has another backend afterwards. */
function movedShare(before: readonly string[], after: readonly string[]): number {
  const [had, has] = [backendSlots(before), backendSlots(after)];
  const staying = had
    .map((backend, slot) => [backend, has[slot]] as const)
    .filter(([backend]) => after.includes(backend));
  const moved = staying.filter(([backend, now]) => now !== backend && before.includes(now ?? ''));
  return moved.length / staying.length;
}

test('a backend that goes or comes moves no slot between the others, or very few of them', () => {
  for (const [count, most] of [
    [2, 0],
    [3, 0],
    [5, 0],
    [10, 0.02],
    [20, 0.03],
    [64, 0.06],
  ] as const)
    for (let subnet = 1; subnet <= 4; subnet += 1) {
      const backends = addresses(count, subnet);
      const gone = backends.toSpliced(subnet % count, 1);
      assert.ok(movedShare(backends, gone) <= most, `${count} backends: ${movedShare(backends, gone)} when one goes`);
      assert.ok(movedShare(gone, backends) <= most, `${count} backends: ${movedShare(gone, backends)} when one comes`);
    }
});

test.run();
