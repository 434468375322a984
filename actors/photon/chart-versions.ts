/**
 * The schema hash of every chart version, recorded in chart-versions.json beside this file. A test compares it with the
 * charts, so that nobody changes the stored shape without raising the version (promise G9 of docs/promises.md): such a
 * release would refuse every snapshot of the release before. `npm run charts` adds a line per new version; lines are
 * never changed. Used by charts-main.ts and chart-versions.test.ts.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import { schemaHashOf } from '@photoncloud/runtime/hosting/schema-hash';
import { z } from 'zod';

const file = join(import.meta.dirname, 'chart-versions.json');

/** Kind -> chart version -> schema hash. */
const keptSchema = z.record(z.string(), z.record(z.string(), z.string()));
type KeptVersions = z.infer<typeof keptSchema>;

export const readVersions = (): KeptVersions => keptSchema.parse(JSON.parse(readFileSync(file, 'utf8')));

/** One sentence per problem, with what to do; empty when every chart has the recorded shape of its version. */
export function versionProblems(registry: ActorRegistry, kept: KeptVersions): readonly string[] {
  const problems: string[] = [];
  for (const definition of registry.kinds.values()) {
    const { kind, chartVersion, upgrades } = definition;
    const hash = schemaHashOf(definition);
    const known = kept[kind]?.[String(chartVersion)];
    if (known === undefined) problems.push(`${kind}: version ${chartVersion} is not recorded yet: run npm run charts`);
    else if (known !== hash) {
      problems.push(
        `${kind}: the stored shape of its chart has changed (${known} -> ${hash}), but its version is still ` +
          `${chartVersion}: raise chartVersion in actors/${kind}, add the upgrade from ${chartVersion}, and run ` +
          'npm run charts. If no cluster has ever run this version, delete its line in ' +
          'actors/photon/chart-versions.json instead, and run npm run charts.',
      );
    }
    const oldest = Math.min(chartVersion, ...Object.keys(kept[kind] ?? {}).map(Number));
    for (let version = oldest; version < chartVersion; version += 1) {
      if (upgrades?.[version] === undefined) problems.push(`${kind}: there is no upgrade from version ${version}`);
    }
  }
  return problems;
}

/** Adds the versions that are not recorded yet; recorded versions are not changed. */
export function withNewVersions(registry: ActorRegistry, kept: KeptVersions): KeptVersions {
  const all: KeptVersions = { ...kept };
  for (const definition of registry.kinds.values()) {
    const { kind, chartVersion } = definition;
    all[kind] = { [chartVersion]: schemaHashOf(definition), ...all[kind] };
  }
  return Object.fromEntries(Object.entries(all).toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

export function writeVersions(kept: KeptVersions): void {
  writeFileSync(file, `${JSON.stringify(kept, null, 2)}\n`);
}
