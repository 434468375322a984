/** `npm run charts`: draws the chart of every kind into docs/charts; `-- --check` only says which pages are stale. */
import { resolve } from 'node:path';
import { checkCharts, writeCharts } from '@photoncloud/runtime/inspector/chart-documents';
import { createRegistry } from '../registry.ts';
import { noAgent, noDataplane } from './no-dataplane.ts';

const folder = resolve(import.meta.dirname, '../../docs/charts');
const registry = createRegistry(noDataplane, noAgent);

if (process.argv.includes('--check')) {
  const problems = await checkCharts(registry, folder);
  for (const problem of problems) console.log(problem);
  process.exitCode = problems.length === 0 ? 0 : 1;
} else {
  const written = await writeCharts(registry, folder);
  console.log(`wrote ${written.length} files to docs/charts`);
}
