/** Numbers are unique while they are taken, and what has been taken is gone. */
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NumberedSlots } from './numbered-slots.ts';

test('slots hold what a Map by number would hold', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(12), { maxLength: 60 }), (choices) => {
      const slots = new NumberedSlots<string>();
      const model = new Map<number, string>();
      const abandoned = new Set<number>();
      for (const [turn, choice] of choices.entries()) {
        if (choice < 5) {
          const number = slots.add(`thing ${turn}`);
          assert.ok(number >= 1 && !model.has(number) && !abandoned.has(number), `${number} was taken already`);
          model.set(number, `thing ${turn}`);
        } else if (choice < 10) {
          const number = choice - 4;
          assert.is(slots.take(number), model.get(number));
          model.delete(number);
          abandoned.delete(number);
        } else {
          const number = choice - 9;
          slots.abandon(number);
          if (model.delete(number)) abandoned.add(number);
        }
        assert.is(slots.size, model.size);
      }
      assert.equal(slots.entries().toSorted(), [...model].toSorted());
      assert.equal(slots.drain().toSorted(), [...model.values()].toSorted());
      assert.is(slots.size, 0);
    }),
  );
});

test('numbers that nobody gave out are nobody', () => {
  const slots = new NumberedSlots<string>();
  slots.add('first');
  for (const number of [0, -1, 2, 1.5, Number.NaN, Infinity]) assert.is(slots.take(number), undefined, String(number));
  assert.is(slots.size, 1);
});

test.run();
