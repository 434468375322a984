/**
 * The Lua scripts of the store: read from scripts/*.lua at start, run by digest (EVALSHA). A node compares
 * `scriptVersion` and `libraryDigest` with the cluster record before it joins (directory/cluster-record.ts), so that an
 * older program does not start on a store that a newer one has used.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Script {
  readonly name: string;
  readonly source: string;
  /** SHA-1 of `source`, the argument of EVALSHA. */
  readonly sha: string;
}

/** Raised with every change of a script; a test pins each version to its digest. */
export const scriptVersion = 7;

/** Version of the stored format: keys, fields, encodings (docs/data-model.md). */
export const formatVersion = 4;

/** Removes comments and indentation, so that they are no part of the digest. */
function strip(source: string): string {
  return source
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('--'))
    .join('\n');
}

function read(name: string): Script {
  const source = strip(readFileSync(join(import.meta.dirname, 'scripts', `${name}.lua`), 'utf8'));
  return { name, source, sha: createHash('sha1').update(source).digest('hex') };
}

export const commitScript = read('commit');
export const claimScript = read('claim');
export const forgetScript = read('forget');
export const archiveScript = read('archive');
export const beginEraScript = read('begin-era');
export const tickScript = read('tick');

export const allScripts: readonly Script[] = [
  commitScript,
  claimScript,
  forgetScript,
  archiveScript,
  beginEraScript,
  tickScript,
];

export const libraryDigest = createHash('sha256')
  .update(allScripts.map((script) => script.sha).join(' '))
  .digest('hex')
  .slice(0, 16);
