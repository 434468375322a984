// test limit: 100 s
/** The generated chart pages in docs/charts are up to date with the machines. */
import { resolve } from 'node:path';
import { checkCharts } from '@photoncloud/runtime/inspector/chart-documents';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createRegistry } from '../registry.ts';
import { noAgent, noDataplane, noDeployer, noHosts, noRollouts } from './no-dataplane.ts';

test('every chart page is current', async () => {
  const folder = resolve(import.meta.dirname, '../../docs/charts');
  assert.equal(
    await checkCharts(createRegistry(noDataplane, noAgent, noHosts, noDeployer, noRollouts), folder),
    [],
    'run npm run charts',
  );
});

test.run();
