/** The heap against a sorted array, with pushes and pops mixed. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { popFromHeap, pushToHeap } from './binary-heap.ts';

const isBefore = (one: number, other: number): boolean => one < other;

test('items come out in order, however they went in', () => {
  const heap: number[] = [];
  const sorted: number[] = [];
  popFromHeap(heap, isBefore);
  for (let round = 0; round < 500; round += 1) {
    const item = (round * 7919) % 101;
    pushToHeap(heap, item, isBefore);
    sorted.push(item);
    sorted.sort((one, other) => one - other);
    assert.is(heap[0], sorted[0]);
    if (round % 3 !== 0) continue;
    popFromHeap(heap, isBefore);
    sorted.shift();
  }
  for (; sorted.length > 0; sorted.shift(), popFromHeap(heap, isBefore)) assert.is(heap[0], sorted[0]);
  assert.is(heap.length, 0);
});

test.run();
