/**
 * A binary heap in a plain array, smallest first. The queue of durable timers and the virtual time of the simulation
 * use it. The owner of the array may read its first item and its length; only this file changes the array. Items that
 * are equal in order come out in no particular order.
 */

/** Whether `one` must come out before `other`; false for equals. */
export type IsBefore<Item> = (one: Item, other: Item) => boolean;

export function pushToHeap<Item>(heap: Item[], item: Item, isBefore: IsBefore<Item>): void {
  let at = heap.length;
  heap.push(item);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent] as Item;
    if (!isBefore(item, above)) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = item;
}

/** Removes the first item; nothing happens to an empty heap. */
export function popFromHeap<Item>(heap: Item[], isBefore: IsBefore<Item>): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && isBefore(heap[child + 1] as Item, heap[child] as Item)) child += 1;
    const below = heap[child] as Item;
    if (!isBefore(below, last)) break;
    heap[at] = below;
    at = child;
  }
  heap[at] = last;
}
