/**
 * Writes docs/charts from a registry, and checks whether the written files are up to date. Called by
 * actors/photon/charts-main.ts (`npm run charts`) and by tests; knows no kind by name.
 */
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ActorRegistry } from '../contract/actor-definition.ts';
import { chartOfDefinition } from './chart-store.ts';
import { layoutChart } from './chart-layout.ts';
import { chartSvg } from './chart-svg.ts';
import { chartMarkdown } from './chart-table.ts';

/** File name -> content, for every kind. */
async function documentsOf(registry: ActorRegistry): Promise<ReadonlyMap<string, string>> {
  const documents = new Map<string, string>();
  const kinds = [...registry.kinds.values()].sort((a, b) => (a.kind < b.kind ? -1 : 1));
  for (const definition of kinds) {
    const chart = chartOfDefinition(definition);
    documents.set(`${definition.kind}.svg`, chartSvg(await layoutChart(chart), { standalone: true }));
    documents.set(`${definition.kind}.md`, chartMarkdown(chart));
  }
  const list = kinds.map(
    ({ kind, machine }) =>
      `- [${kind}](${kind}.md)${machine.root.description === undefined ? '' : `: ${machine.root.description}`}`,
  );
  documents.set('index.md', ['# Charts', '', 'Generated from the machines; do not edit.', '', ...list, ''].join('\n'));
  return documents;
}

/** Writes every document and removes those of kinds that no longer exist. @returns the file names written */
export async function writeCharts(registry: ActorRegistry, folder: string): Promise<readonly string[]> {
  const documents = await documentsOf(registry);
  await mkdir(folder, { recursive: true });
  for (const name of await strayFiles(documents, folder)) await rm(join(folder, name));
  for (const [name, content] of documents) await writeFile(join(folder, name), content);
  return [...documents.keys()];
}

/** @returns one line per missing, outdated or superfluous file; empty when the folder is up to date */
export async function checkCharts(registry: ActorRegistry, folder: string): Promise<readonly string[]> {
  const documents = await documentsOf(registry);
  const problems = (await strayFiles(documents, folder)).map(
    (name) => `${name} belongs to no kind; write the charts again`,
  );
  for (const [name, content] of documents) {
    const stored = await readStored(join(folder, name));
    if (stored !== content)
      problems.push(`${name} ${stored === undefined ? 'is missing' : 'is stale'}; write the charts again`);
  }
  return problems;
}

async function strayFiles(documents: ReadonlyMap<string, string>, folder: string): Promise<string[]> {
  const present = await readdir(folder).catch(absent([]));
  return present.filter((name) => (name.endsWith('.svg') || name.endsWith('.md')) && !documents.has(name));
}

const readStored = (file: string): Promise<string | undefined> => readFile(file, 'utf8').catch(absent(undefined));

const absent =
  <Value>(value: Value) =>
  (error: NodeJS.ErrnoException): Value => {
    if (error.code === 'ENOENT') return value;
    throw error;
  };
