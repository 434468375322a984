import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AnyStateMachine } from 'xstate';
import { chartOf } from './chart-ir.ts';
import { layoutChart } from './chart-layout.ts';
import { chartSvg, escapeXml } from './chart-svg.ts';
import { chartMarkdown, tableOf } from './chart-table.ts';
import { hostileMachine, jobMachine } from './sample-machines-for-tests.ts';

const svgOf = async (machine: AnyStateMachine, standalone = false): Promise<string> =>
  chartSvg(await layoutChart(chartOf(machine)), { standalone });

test('every state is drawn once, with its description, as an item of the tree', async () => {
  const svg = await svgOf(jobMachine);
  for (const { id, description } of chartOf(jobMachine).states) {
    assert.is(svg.split(`data-state="${id}"`).length - 1, 1, id);
    if (description !== null) assert.ok(svg.includes(escapeXml(description)), description);
  }
  assert.is(svg.split('role="treeitem"').length - 1, chartOf(jobMachine).states.length);
});

test('only a stand-alone picture contains a style sheet, and no picture contains script', async () => {
  assert.not.ok((await svgOf(jobMachine)).includes('<style'));
  const standalone = await svgOf(jobMachine, true);
  assert.ok(standalone.includes('prefers-color-scheme:dark'));
  assert.not.match(standalone, /<script|\son[a-z]+=|href=/);
});

test('markup in names is escaped', async () => {
  for (const standalone of [false, true]) {
    const svg = await svgOf(hostileMachine, standalone);
    assert.not.ok(svg.includes('<script'));
    const tags = svg.match(/<[^>]*>/g) ?? [];
    const opened = tags.filter((tag) => !tag.startsWith('</') && !tag.endsWith('/>')).length;
    assert.is(opened, tags.filter((tag) => tag.startsWith('</')).length, 'every tag is closed');
  }
  assert.is(escapeXml('a<b>&"\'\u0000\u001f'), 'a&#60;b&#62;&#38;&#34;&#39;\ufffd\ufffd');
});

test('the same machine gives the same bytes', async () => {
  assert.is(await svgOf(jobMachine), await svgOf(jobMachine));
});

test('the table contains what the picture shows', () => {
  const rows = tableOf(chartOf(jobMachine));
  const starting = rows.find(({ state }) => state === 'starting');
  assert.equal(starting, {
    state: 'starting',
    marks: [],
    description: 'The process runs; the child boots.',
    asks: ['process.start'],
    deadlines: ['after bootDeadline (2 min) → failed / rememberError'],
    exits: ['process.start.done → running / reply, row.put', 'process.start.failed → failed / rememberError, countTry'],
  });
  assert.equal(rows[0]?.state, '(any state)');
});

test('markup in names is escaped in Markdown', () => {
  const page = chartMarkdown(chartOf(hostileMachine));
  assert.not.match(page, /[^\\]<script/);
  assert.is(page.split('\n').filter((line) => line.startsWith('| ')).length, 2 + 3);
});

test.run();
