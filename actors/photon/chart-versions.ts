/**
 * Which chart version of a kind has which shape, kept in chart-versions.json beside this file, so that nobody changes
 * what is stored without raising the version (G9): such a release would refuse every snapshot of the one before. Lines
 * are added by `npm run charts`, one per version, and never changed. Used by charts-main.ts and the test that holds the
 * charts to their versions.
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

/** What is wrong, one sentence each with what to do; empty when every chart is what its version says. */
export function versionProblems(registry: ActorRegistry, kept: KeptVersions): readonly string[] {
  const problems: string[] = [];
  for (const definition of registry.kinds.values()) {
    const { kind, chartVersion, upgrades } = definition;
    const hash = schemaHashOf(definition);
    const known = kept[kind]?.[String(chartVersion)];
    if (known === undefined) problems.push(`${kind}: version ${chartVersion} is not kept yet: run npm run charts`);
    else if (known !== hash) {
      problems.push(
        `${kind}: what is stored of its chart has changed (${known} -> ${hash}), and its version is still ` +
          `${chartVersion}: raise chartVersion in actors/${kind}, add the upgrade from ${chartVersion}, and run ` +
          'npm run charts. Of a version that no cluster has ever run, delete the line in ' +
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

/** Keeps versions that are new; those that are kept stay as they are. */
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
