/**
 * `npm run charts`: draws the chart of every kind into docs/charts and records the schema hash of new chart versions;
 * `-- --check` only prints which pages and versions are out of date.
 */
import { resolve } from 'node:path';
import { checkCharts, writeCharts } from '@photoncloud/runtime/inspector/chart-documents';
import { readVersions, versionProblems, withNewVersions, writeVersions } from './chart-versions.ts';
import { createRegistry } from '../registry.ts';
import { noAgent, noDataplane, noDeployer, noHosts, noRollouts } from './no-dataplane.ts';

const folder = resolve(import.meta.dirname, '../../docs/charts');
const registry = createRegistry(noDataplane, noAgent, noHosts, noDeployer, noRollouts);

if (process.argv.includes('--check')) {
  const problems = [...(await checkCharts(registry, folder)), ...versionProblems(registry, readVersions())];
  for (const problem of problems) console.log(problem);
  process.exitCode = problems.length === 0 ? 0 : 1;
} else {
  const written = await writeCharts(registry, folder);
  console.log(`wrote ${written.length} files to docs/charts`);
  writeVersions(withNewVersions(registry, readVersions()));
  const problems = versionProblems(registry, readVersions());
  for (const problem of problems) console.log(problem);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
