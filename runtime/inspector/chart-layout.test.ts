import type { AnyStateMachine } from 'xstate';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { chartOf } from './chart-ir.ts';
import { foldChart } from './chart-fold.ts';
import type { Area } from './chart-graph.ts';
import { layoutChart, type PlacedChart } from './chart-layout.ts';
import { layoutOnThread } from './chart-store.ts';
import { crossedMachine, hostileMachine, jobMachine, meshMachine } from './sample-machines-for-tests.ts';
import { clipText, textWidth } from './text-measure.ts';

const overlap = (a: Area, b: Area): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
const contains = (outer: Area, inner: Area): boolean =>
  inner.x >= outer.x &&
  inner.y >= outer.y &&
  inner.x + inner.width <= outer.x + outer.width &&
  inner.y + inner.height <= outer.y + outer.height;

/** Asserts that boxes, titles and labels do not overlap. */
function assertReadable(placed: PlacedChart): void {
  for (const box of placed.boxes) {
    const parent = placed.boxes.find(({ state }) => state.id === box.state.parent);
    if (parent !== undefined) assert.ok(contains(parent, box), `${box.state.id} lies inside its parent`);
    const siblings = placed.boxes.filter(({ state }) => state.parent === box.state.parent && state.id !== box.state.id);
    for (const sibling of siblings)
      assert.not.ok(overlap(box, sibling), `${box.state.id} and ${sibling.state.id} are apart`);
    for (const child of placed.boxes.filter(({ state }) => state.parent === box.state.id)) {
      assert.not.ok(overlap(box.head, child), `the title of ${box.state.id} is free of ${child.state.id}`);
    }
  }
  const labels = placed.edges.flatMap(({ id, label }) => (label === null ? [] : [{ id, label }]));
  for (const [index, { id, label }] of labels.entries()) {
    for (const other of labels.slice(index + 1))
      assert.not.ok(overlap(label, other.label), `labels of ${id} and ${other.id} are apart`);
    for (const box of placed.boxes.filter(({ state }) => state.children.length === 0)) {
      assert.not.ok(overlap(label, box), `the label of ${id} is beside ${box.state.id}`);
    }
  }
  for (const edge of placed.edges) assert.ok(edge.points.length >= 2, `${edge.id} has a route`);
}

for (const machine of [jobMachine, meshMachine, crossedMachine, hostileMachine] as AnyStateMachine[]) {
  test(`in the picture of ${machine.id} nothing overlaps`, async () =>
    assertReadable(await layoutChart(chartOf(machine))));
}

test('every transition is drawn as a row, a chip or an edge', () => {
  for (const machine of [jobMachine, meshMachine, crossedMachine, hostileMachine] as AnyStateMachine[]) {
    const chart = chartOf(machine);
    const drawing = foldChart(chart);
    const drawn = new Set([
      ...drawing.boxes.flatMap(({ rows }) => rows.flatMap((row) => row.transitions)),
      ...drawing.chips.flatMap((chip) => chip.transitions),
      ...drawing.edges.flatMap((edge) => edge.transitions),
    ]);
    assert.equal(
      chart.transitions.filter(({ id }) => !drawn.has(id)),
      [],
    );
  }
});

test('failures and deadlines of many states that lead to one state are rows in their boxes', () => {
  const drawing = foldChart(chartOf(jobMachine));
  const toFailed = drawing.edges.filter(({ target }) => target === 'failed');
  assert.equal(
    toFailed.map(({ source, tone }) => [source, tone]),
    [['placing', 'event']],
  );
  const rows = drawing.boxes.find(({ state }) => state.id === 'starting')?.rows ?? [];
  const texts = rows.map(({ line }) => line.map(({ text }) => text).join(''));
  assert.ok(texts.includes('process.start.failed → failed / rememberError, countTry'), texts.join('\n'));
});

test('no edge crosses the title of a compound state', async () => {
  const placed = await layoutChart(chartOf(crossedMachine));
  for (const { state, head } of placed.boxes) {
    if (state.children.length === 0 || state.id === '') continue;
    for (const edge of placed.edges) {
      for (const [index, point] of edge.points.entries()) {
        const before = edge.points[index - 1];
        if (before === undefined) continue;
        const piece = {
          x: Math.min(point.x, before.x),
          y: Math.min(point.y, before.y),
          width: Math.abs(point.x - before.x) || 0.1,
          height: Math.abs(point.y - before.y) || 0.1,
        };
        assert.not.ok(
          overlap(piece, { x: head.x + 0.2, y: head.y + 0.2, width: head.width - 0.4, height: head.height - 0.4 }),
          `${edge.id} crosses ${state.id}`,
        );
      }
    }
  }
});

test('the layout on a thread equals the layout by the function', async () => {
  const chart = chartOf(meshMachine);
  assert.equal(await layoutOnThread(chart), await layoutChart(chart));
});

test('text is measured and clipped', () => {
  assert.is(textWidth('iiii', 10), 12);
  assert.ok(textWidth('W', 10, 'bold') > textWidth('W', 10));
  assert.is(textWidth('→', 10), 10);
  assert.is(clipText('abcdefghij', 10, 1000), 'abcdefghij');
  assert.ok(clipText('abcdefghij', 10, 40).endsWith('…'));
});

test.run();
