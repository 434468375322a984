/** A chart whose stored shape changed has a higher version, and there is an upgrade from each recorded version. */
import type { ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createRegistry } from '../registry.ts';
import { readVersions, versionProblems, withNewVersions } from './chart-versions.ts';
import { noAgent, noDataplane, noDeployer, noHosts, noRollouts } from './no-dataplane.ts';

const registry = createRegistry(noDataplane, noAgent, noHosts, noDeployer, noRollouts);

test('every chart has the shape that is recorded for its version', () => {
  assert.equal(versionProblems(registry, readVersions()), []);
});

test('a changed chart, an unrecorded version and a missing upgrade are different problems', () => {
  const definition = registry.kinds.get('vm');
  if (definition === undefined) throw new Error('there is no kind vm');
  const kept = withNewVersions(registry, {});
  assert.equal(versionProblems(registry, kept), []);
  const [vm, host] = [kept['vm'] ?? {}, kept['host'] ?? {}];
  const { chartVersion } = definition;
  const [changed] = versionProblems(registry, { ...kept, vm: { ...vm, [chartVersion]: 'other' } });
  assert.match(changed ?? '', /^vm: the stored shape of its chart has changed \(other -> .*raise chartVersion/);
  const without = Object.fromEntries(Object.entries(kept).filter(([kind]) => kind !== 'host'));
  assert.match(
    versionProblems(registry, without).join(),
    /^host: version \d+ is not recorded yet: run npm run charts$/,
  );
  assert.equal(withNewVersions(registry, without)['host'], host);
  const raised: ActorRegistry = {
    kinds: new Map([['vm', { ...definition, chartVersion: chartVersion + 1, upgrades: {} }]]),
  };
  const again = withNewVersions(raised, kept);
  assert.match(versionProblems(raised, again).join(), /^vm: there is no upgrade from version \d+$/);
  assert.is(Object.keys(again['vm'] ?? {}).length, Object.keys(vm).length + 1, 'the older line stays');
});

test.run();
