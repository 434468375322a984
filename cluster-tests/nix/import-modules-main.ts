/**
 * Run on sources as a package has them: imports every module that can be imported, which reads what they read when they
 * are loaded, and builds the page of the inspector. Started in Nix's sandbox by source-build.ts and by the flake check
 * source-roots. Arguments: the folder, and a folder that can be written.
 */
import { readdirSync } from 'node:fs';
import { join, sep } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder = '.', scratch = '.'] = process.argv.slice(2);
/** Programs run when they are imported, tests need what is not packaged. */
const isRun = /(-main|-launcher|-worker|-page|\.test|-for-tests)\.tsx?$/;

const modules = ['machines', 'runtime', 'actors'].flatMap((room) =>
  readdirSync(join(folder, room), { recursive: true, encoding: 'utf8' })
    .map((path) => join(room, path).split(sep).join('/'))
    .filter((path) => path.endsWith('.ts') && !isRun.test(path) && !path.includes('node_modules/')),
);
const load = async (path: string): Promise<unknown> => await import(pathToFileURL(join(folder, path)).href);

let failed = 0;
for (const path of modules) {
  try {
    await load(path);
  } catch (error) {
    failed += 1;
    console.log(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
const bundle = (await load('runtime/inspector/page-bundle.ts')) as {
  bundlePage(options: { cacheFolder: string }): Promise<{ script: { body: string } }>;
};
const { script } = await bundle.bundlePage({ cacheFolder: scratch });
console.log(`${modules.length} modules, ${failed} failed; a page of ${script.body.length} bytes`);
process.exit(failed === 0 && modules.length > 0 ? 0 : 1);
