/**
 * What outlives a reboot of the host: the name and the port under which a run of another host reaches its volume. It is
 * on the disk beside the volume, so the export is served again where that run looks for it, and the run goes on. Called
 * by export/ and volume/.
 * Promise (docs/threats.md#t80): there is a record only of an export whose every answered write is on the disk.
 */
import { open, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import type { DataplaneSite } from '../dataplane-site.ts';
import { fileError } from '../kernel-errors.ts';
import { createFile, listFolder, readTextFile } from '../storage-files.ts';
import type { ExportPaths } from './export-folder.ts';

export interface ExportRecord {
  readonly name: string;
  readonly port: number;
}

/** By run epoch. */
const recordsSchema = z.record(z.string(), z.object({ name: z.string(), port: z.int() }));
type Records = z.infer<typeof recordsSchema>;

const ending = '.exports';
const recordFile = (site: DataplaneSite, volumeUid: string): string =>
  path.join(site.folders.volumes, `${volumeUid}${ending}`);

async function readRecords(site: DataplaneSite, volumeUid: string): Promise<Records> {
  return recordsSchema.parse(JSON.parse((await readTextFile(recordFile(site, volumeUid))) ?? '{}'));
}

/** Durable when it resolves. */
async function writeRecords(site: DataplaneSite, volumeUid: string, records: Records): Promise<void> {
  if (Object.keys(records).length === 0) return rm(recordFile(site, volumeUid), { force: true });
  await createFile(recordFile(site, volumeUid), async (_, handle) => {
    await writeFile(handle, JSON.stringify(records));
  });
}

type Export = Pick<ExportPaths, 'volumeUid' | 'runEpoch'>;

export const readRecord = async (site: DataplaneSite, { volumeUid, runEpoch }: Export): Promise<ExportRecord | null> =>
  (await readRecords(site, volumeUid))[String(runEpoch)] ?? null;

export async function writeRecord(
  site: DataplaneSite,
  { volumeUid, runEpoch }: Export,
  record: ExportRecord,
): Promise<void> {
  await writeRecords(site, volumeUid, { ...(await readRecords(site, volumeUid)), [String(runEpoch)]: record });
}

/** Keeps the records of these runs; the others are cut. */
export async function keepRecords(site: DataplaneSite, volumeUid: string, epochs: readonly number[]): Promise<void> {
  const before = await readRecords(site, volumeUid);
  const kept = Object.entries(before).filter(([epoch]) => epochs.includes(Number(epoch)));
  if (kept.length < Object.keys(before).length) await writeRecords(site, volumeUid, Object.fromEntries(kept));
}

/** With the volume itself. */
export async function removeRecords(site: DataplaneSite, volumeUid: string): Promise<void> {
  await rm(recordFile(site, volumeUid), { force: true });
}

/** Ports of this host that runs look for, whether they are served now or not. */
export async function recordedPorts(site: DataplaneSite): Promise<ReadonlySet<number>> {
  const files = (await listFolder(site.folders.volumes)).filter((name) => name.endsWith(ending) && name[0] !== '.');
  const all = await Promise.all(files.map((name) => readRecords(site, name.slice(0, -ending.length))));
  return new Set(all.flatMap((records) => Object.values(records).map(({ port }) => port)));
}

/** What an earlier process has taken for a run and not written is on the disk when it resolves. */
export async function syncBytes(file: string): Promise<void> {
  try {
    const handle = await open(file, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError(`syncing ${file}`, error);
  }
}
