/**
 * Makes of runtime/ what a program elsewhere can install: Node strips no types under node_modules, so the package
 * carries .js and .d.ts in place of the sources, and exports those.
 * Not part of running this checkout, which uses the sources. Called by runtime-package.test.ts.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const top = join(import.meta.dirname, '../..');

/** Stages the package below `folder`, packs it, and returns the path of the .tgz, which lies in `folder` too. */
export function packRuntime(folder: string): string {
  const staged = join(folder, 'package');
  mkdirSync(staged, { recursive: true });
  cpSync(join(top, 'runtime'), staged, {
    recursive: true,
    filter: (path) => !/\.test\.tsx?$|-(for-tests|fixture)\.ts$|node_modules|\/fixtures(\/|$)|\/sample-/.test(path),
  });
  cpSync(join(top, 'LICENSE'), join(staged, 'LICENSE'));
  emit(staged, folder);
  rewriteManifest(staged);
  const options = ['--silent', '--pack-destination', folder];
  const name = execFileSync('npm', ['pack', ...options], { cwd: staged, encoding: 'utf8' });
  return join(folder, name.trim());
}

/** Compiles the sources in place: `step.ts` gets `step.js` and `step.d.ts` beside it. */
function emit(staged: string, folder: string): void {
  const base = JSON.parse(readFileSync(join(top, 'tsconfig.json'), 'utf8')) as { compilerOptions: object };
  const project = join(folder, 'tsconfig.json');
  writeFileSync(
    project,
    JSON.stringify({
      compilerOptions: {
        ...base.compilerOptions,
        noEmit: false,
        declaration: true,
        rewriteRelativeImportExtensions: true,
        rootDir: staged,
        outDir: staged,
        typeRoots: [join(top, 'node_modules/@types')],
      },
      include: [staged],
      exclude: ['package/node_modules'], // without a list the output folder is left out, which is all there is
    }),
  );
  const modules = join(staged, 'node_modules');
  symlinkSync(join(top, 'node_modules'), modules);
  compile(project);
  rmSync(modules);
  // The compiler rewrites the imports of .js, but not those of declarations, nor the addresses of worker threads.
  for (const path of readdirSync(staged, { recursive: true, encoding: 'utf8' })) {
    const file = join(staged, path);
    if (path.endsWith('.d.ts')) replaceIn(file, /((?:from |import\()['"]\.[^'"]*)\.tsx?(?=['"])/g);
    else if (path.endsWith('.js')) replaceIn(file, /(new URL\(['"]\.[^'"]*)\.tsx?(?=['"], import\.meta\.url)/g);
    else if (/\.tsx?$/.test(path)) rmSync(file); // a compiler would read it in place of its declarations
  }
}

function compile(project: string): void {
  try {
    execFileSync(join(top, 'node_modules/.bin/tsc'), ['-p', project], { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const said = (error as { stdout?: string }).stdout ?? '';
    throw new Error(`runtime/ does not compile by itself:\n${said}`, { cause: error });
  }
}

function replaceIn(path: string, pattern: RegExp): void {
  const text = readFileSync(path, 'utf8');
  const replaced = text.replaceAll(pattern, '$1.js');
  if (replaced !== text) writeFileSync(path, replaced);
}

function rewriteManifest(staged: string): void {
  const path = join(staged, 'package.json');
  const manifest = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  delete manifest.private;
  manifest.engines = { node: '>=24.11' };
  manifest.exports = { './*': { types: './*.d.ts', default: './*.js' } };
  writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`);
}
