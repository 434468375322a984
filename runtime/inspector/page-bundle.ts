/**
 * Bundles the pages of the inspector into two files: one script, one style sheet. esbuild bundles the script on first
 * use; it is kept in the cache folder under the hash of the sources. The files are named by the hash of their content,
 * so that browsers may cache them without limit. Called by the routes; a packaged program may ship a filled cache
 * folder.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeCause, PhotonError } from '../contract/errors.ts';
import { hashFolder, writeAtomically } from './cache-files.ts';
import { chartCss } from './chart-style.ts';
import { themeCss } from './theme-tokens.ts';

export interface PageAsset {
  /** `inspector-<hash>.js` */
  readonly name: string;
  readonly body: string;
  readonly contentType: string;
}

export interface PageBundle {
  readonly script: PageAsset;
  readonly style: PageAsset;
}

export interface BundleOptions {
  readonly cacheFolder: string;
  /** Absolute path of the entry module; default: the inspector's page. */
  readonly entry?: string;
}

/** @throws PhotonError defeat `page_bundle_failed` */
export async function bundlePage(options: BundleOptions): Promise<PageBundle> {
  const entry = options.entry ?? fileURLToPath(new URL('./pages/inspector-page.tsx', import.meta.url));
  const script = await cachedScript(entry, options.cacheFolder);
  const pageCss = await readFile(join(import.meta.dirname, 'pages', 'inspector-page.css'), 'utf8');
  const style = [themeCss(':root'), chartCss, pageCss].join('\n');
  return {
    script: { name: `inspector-${digest(script)}.js`, body: script, contentType: 'text/javascript; charset=utf-8' },
    style: { name: `inspector-${digest(style)}.css`, body: style, contentType: 'text/css; charset=utf-8' },
  };
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);

async function cachedScript(entry: string, cacheFolder: string): Promise<string> {
  const file = join(cacheFolder, 'pages', `${await sourceHash(entry)}.js`);
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw bundleFailed(`${file} cannot be read`, error);
  }
  const script = await bundle(entry);
  try {
    await writeAtomically(file, script);
  } catch (error) {
    throw bundleFailed(`${file} cannot be written; make the cache folder writable`, error);
  }
  return script;
}

/** The hash of all sources that can be part of the bundle: the pages, this folder, the client and the contract. */
async function sourceHash(entry: string): Promise<string> {
  const here = import.meta.dirname;
  const folders = [here, join(here, 'pages'), join(here, '..', 'client'), join(here, '..', 'contract')];
  const hash = createHash('sha256').update(entry.slice(here.length));
  for (const folder of folders) hash.update(await hashFolder(folder, ['.ts', '.tsx']));
  return hash.digest('hex').slice(0, 20);
}

async function bundle(entry: string): Promise<string> {
  const { build, stop } = await import('esbuild');
  try {
    const result = await build({
      entryPoints: [entry],
      bundle: true,
      write: false,
      format: 'esm',
      platform: 'browser',
      target: 'es2022',
      minify: true,
      jsx: 'automatic',
      jsxImportSource: 'preact',
      legalComments: 'none',
      logLevel: 'silent',
    });
    return result.outputFiles[0]?.text ?? '';
  } catch (error) {
    throw bundleFailed('esbuild refused the sources of the pages', error);
  } finally {
    // esbuild's service process would otherwise stay until this process ends; pages are bundled only once.
    await stop();
  }
}

const bundleFailed = (what: string, cause: unknown): PhotonError =>
  new PhotonError(
    'defeat',
    'page_bundle_failed',
    `The inspector's pages cannot be built: ${what} (${describeCause(cause)})`,
    { cause },
  );
