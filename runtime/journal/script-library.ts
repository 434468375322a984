/**
 * The store's scripts: read from scripts/*.lua once, sent by digest. Nodes compare `scriptVersion` and
 * `libraryDigest` with the cluster record before they write, so that two generations of the commit script never serve
 * one store.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Script {
  readonly name: string;
  readonly source: string;
  /** SHA-1 of `source`, as EVALSHA wants it. */
  readonly sha: string;
}

/** Raised with every change of a script's meaning; a test pins it to the digest. */
export const scriptVersion = 6;

/** Version of the stored form: keys, fields, encodings. */
export const formatVersion = 3;

/** Comments and indentation go: they are no part of what a script does, nor of its digest. */
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

export const allScripts: readonly Script[] = [commitScript, claimScript, forgetScript, archiveScript, beginEraScript];

export const libraryDigest = createHash('sha256')
  .update(allScripts.map((script) => script.sha).join(' '))
  .digest('hex')
  .slice(0, 16);
