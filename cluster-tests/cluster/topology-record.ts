/**
 * The record of a topology on this machine: `<checkout>/.cache/cluster/<prefix>.json`, written after every change so
 * that another process can find, show, stop and clean it, also when its launcher was killed. The record is no lock and
 * may be out of date: readers check pids and start times.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { ProcessIdentity } from './process-identity.ts';

export interface ProgramRecord extends ProcessIdentity {
  readonly name: string;
  readonly argv: readonly string[];
}

export interface NodeRecord {
  readonly name: string;
  /** IPv4 address on the underlay. */
  readonly address: string;
  /** The node's first process; when it ends, everything in the node ends. */
  readonly init: ProcessIdentity;
  /** The node's folder on this machine; inside the node it is `insideFolder`. */
  readonly folder: string;
  readonly programs: readonly ProgramRecord[];
}

export interface ClusterRecord {
  readonly prefix: string;
  readonly launcher: ProcessIdentity;
  readonly createdAt: string;
  /** The cluster goes on without its launcher. */
  readonly kept: boolean;
  readonly underlay: ProcessIdentity;
  readonly nodes: readonly NodeRecord[];
  readonly relays: readonly (ProcessIdentity & { readonly url: string })[];
  /** Texts that `npm run cluster -- status` shows, such as the inspector's address. */
  readonly notes: Readonly<Record<string, string>>;
}

/** The node's own folder, inside the node. */
export const insideFolder = '/run/photon';

const root = resolve(import.meta.dirname, '../../.cache/cluster');
export const prefixPattern = /^[a-z][a-z0-9-]{0,23}$/;

/** First part of the mark in the command line of every root process of a cluster; it differs for each checkout. */
const markStem = `photon-cluster-${createHash('sha256').update(root).digest('hex').slice(0, 8)}`;
/** The argument by which `clean` finds a process without the record. */
export const processMark = (prefix: string, part: string): string => `${markStem}:${prefix}:${part}`;

/** The prefix in a mark of this checkout; undefined for any other argument. */
export function prefixOfMark(argument: string): string | undefined {
  const [stem, prefix = ''] = argument.split(':');
  return stem === markStem && prefixPattern.test(prefix) ? prefix : undefined;
}

export const clusterFolder = (prefix: string): string => join(root, prefix);
const recordPath = (prefix: string): string => join(root, `${prefix}.json`);

/** Claims an unused prefix `<stem>-<4 hex digits>` by making its folder. */
export function claimPrefix(stem: string): string {
  mkdirSync(root, { recursive: true });
  for (;;) {
    const prefix = `${stem}-${randomBytes(2).toString('hex')}`;
    if (!prefixPattern.test(prefix)) throw new Error(`not a name for a cluster: ${JSON.stringify(stem)}`);
    try {
      mkdirSync(clusterFolder(prefix));
      return prefix;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

export function writeRecord(record: ClusterRecord): void {
  const path = recordPath(record.prefix);
  writeFileSync(`${path}.${process.pid}.new`, `${JSON.stringify(record, null, 2)}\n`);
  renameSync(`${path}.${process.pid}.new`, path);
}

export function readRecord(prefix: string): ClusterRecord | undefined {
  try {
    return JSON.parse(readFileSync(recordPath(prefix), 'utf8')) as ClusterRecord;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whether the folder is so new that its record may still follow: a launcher may be starting the cluster. */
export function isFresh(prefix: string): boolean {
  const made = statSync(clusterFolder(prefix), { throwIfNoEntry: false });
  return made !== undefined && Date.now() - made.birthtimeMs < 60_000;
}

/** Every prefix with a record or a folder, sorted. */
export function listPrefixes(): string[] {
  let names: string[];
  try {
    names = readdirSync(root);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const prefixes = new Set(names.map((name) => name.replace(/\.json$/, '')));
  return [...prefixes].filter((name) => prefixPattern.test(name)).sort();
}

export function forgetRecord(prefix: string): void {
  rmSync(clusterFolder(prefix), { recursive: true, force: true });
  rmSync(recordPath(prefix), { force: true });
}
