/** Moves are minimal, end in even shares, and are made only while every shard has a live owner. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import fc from 'fast-check';
import type { ShardId } from '../contract/identifiers.ts';
import { balanceMoves, departureMoves } from './shard-balance.ts';

const owned = (owners: readonly string[]): Map<ShardId, string> =>
  new Map(owners.map((node, index) => [`s${index}` as ShardId, node]));

function countsOf(owners: ReadonlyMap<ShardId, string>, nodes: readonly string[]): number[] {
  return nodes.map((node) => [...owners.values()].filter((owner) => owner === node).length);
}

test('any ownership becomes even by the fewest moves, in steps of any size', () => {
  const someNodes = fc.integer({ min: 1, max: 7 }).map((count) => Array.from({ length: count }, (_, at) => `n${at}`));
  const ownership = someNodes.chain((nodes) =>
    fc.tuple(
      fc.constant(nodes),
      fc.array(fc.constantFrom(...nodes), { maxLength: 64 }),
      fc.integer({ min: 1, max: 9 }),
    ),
  );
  fc.assert(
    fc.property(ownership, ([nodes, owners, atOnce]) => {
      const map = owned(owners);
      const before = countsOf(map, nodes).sort((a, b) => b - a);
      const share = Math.floor(map.size / nodes.length);
      const needed = before.reduce((sum, count, at) => {
        return sum + Math.max(0, count - share - (at < map.size % nodes.length ? 1 : 0));
      }, 0);
      let made = 0;
      for (;;) {
        const moves = balanceMoves(map, nodes);
        if (moves.length === 0) break;
        for (const { shard, from, to } of moves.slice(0, atOnce)) {
          assert.is(map.get(shard), from);
          map.set(shard, to);
          made += 1;
        }
        assert.ok(made <= needed, `${made} moves of ${needed}`);
      }
      const after = countsOf(map, nodes);
      assert.ok(Math.max(...after) - Math.min(...after) <= 1, String(after));
      assert.is(made, needed);
    }),
  );
});

test('nothing moves while a shard has no owner in the cluster', () => {
  const map = owned(['a', 'a', 'a', 'gone']);
  assert.equal(balanceMoves(map, ['a', 'b']), []);
  assert.equal(balanceMoves(map, []), []);
  map.set('s3' as ShardId, 'a');
  assert.is(balanceMoves(map, ['a', 'b']).length, 2);
});

test('a leaving node hands each shard to the node with the fewest', () => {
  const map = owned(['a', 'a', 'b', 'c', 'c', 'c']);
  const moves = departureMoves(['s3', 's4', 's5'] as ShardId[], map, ['a', 'b']);
  assert.equal([...moves.values()], ['b', 'a', 'b']);
  assert.is(departureMoves(['s3' as ShardId], map, []).size, 0);
});

test.run();
