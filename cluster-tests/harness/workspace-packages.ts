/**
 * Makes of runtime/, machines/ and actors/ the npm packages that a program or a person elsewhere can install: Node
 * strips no types under node_modules, so the packages carry .js and .d.ts in place of the sources, and export those.
 * The package of actors/ carries the command `photon`.
 * Not part of running this checkout, which uses the sources. Called by packages-main.ts and its test.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const top = join(import.meta.dirname, '../..');

/** In the order of their dependencies. */
const packaged = ['runtime', 'machines', 'actors'] as const;
type Packaged = (typeof packaged)[number];

const isLeftOut = (path: string): boolean =>
  /\.test\.tsx?$|-(for-tests|fixture)\.ts$|node_modules|\/fixtures(\/|$)|\/sample-|(charts|schema)-main\.ts$/.test(
    path,
  );

/** Packs the three workspaces into `folder`, which exists. @returns the path of each .tgz */
export function packWorkspaces(folder: string): Record<Packaged, string> {
  const staged = mkdtempSync(join(tmpdir(), 'photon-packages-'));
  try {
    stage(staged);
    emit(staged);
    const pack = (workspace: Packaged): string => {
      rewriteManifest(join(staged, workspace));
      const argv = ['pack', '--silent', '--pack-destination', folder];
      return join(folder, execFileSync('npm', argv, { cwd: join(staged, workspace), encoding: 'utf8' }).trim());
    };
    return { runtime: pack('runtime'), machines: pack('machines'), actors: pack('actors') };
  } finally {
    rmSync(staged, { recursive: true, force: true });
  }
}

/** The sources as they stand in the checkout, beside packages that the compiler finds as it does there. */
function stage(staged: string): void {
  for (const workspace of packaged) {
    const from = join(top, workspace);
    const filter = (path: string): boolean => !isLeftOut(path.slice(from.length));
    cpSync(from, join(staged, workspace), { recursive: true, filter });
    cpSync(join(top, 'LICENSE'), join(staged, workspace, 'LICENSE'));
  }
  const modules = join(staged, 'node_modules');
  mkdirSync(join(modules, '@photoncloud'), { recursive: true });
  for (const workspace of packaged) symlinkSync(`../../${workspace}`, join(modules, '@photoncloud', workspace));
  for (const name of readdirSync(join(top, 'node_modules'))) {
    if (name.startsWith('.') || name === '@photoncloud') continue;
    symlinkSync(join(top, 'node_modules', name), join(modules, name));
  }
}

/** Compiles the sources in place: `step.ts` gets `step.js` and `step.d.ts` beside it. */
function emit(staged: string): void {
  const base = JSON.parse(readFileSync(join(top, 'tsconfig.json'), 'utf8')) as { compilerOptions: object };
  const compilerOptions = {
    ...base.compilerOptions,
    noEmit: false,
    declaration: true,
    rewriteRelativeImportExtensions: true,
    rootDir: staged,
    outDir: staged,
  };
  // Without a list of exclusions the compiler leaves out its output folder, which here is all there is.
  const project = { compilerOptions, include: packaged, exclude: ['node_modules'] };
  writeFileSync(join(staged, 'tsconfig.json'), JSON.stringify(project));
  compile(staged);
  // The compiler rewrites the imports of .js, but not those of declarations, nor the addresses of worker threads.
  for (const path of packaged.flatMap((workspace) => filesBelow(join(staged, workspace)))) {
    if (path.endsWith('.d.ts')) replaceIn(path, /((?:from |import\()['"]\.[^'"]*)\.tsx?(?=['"])/g);
    else if (path.endsWith('.js')) replaceIn(path, /(new URL\(['"]\.[^'"]*)\.tsx?(?=['"], import\.meta\.url)/g);
    else if (/\.tsx?$/.test(path)) rmSync(path); // a compiler would read it in place of its declarations
  }
}

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((path) => join(folder, path));

function compile(staged: string): void {
  try {
    execFileSync(join(top, 'node_modules/.bin/tsc'), ['-p', staged], { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const output = (error as { stdout?: string }).stdout ?? '';
    throw new Error(`${packaged.join(', ')} do not compile without cluster-tests/:\n${output}`, { cause: error });
  }
}

function replaceIn(path: string, pattern: RegExp): void {
  const text = readFileSync(path, 'utf8');
  const replaced = text.replaceAll(pattern, '$1.js');
  if (replaced !== text) writeFileSync(path, replaced);
}

interface Manifest {
  readonly bin?: Readonly<Record<string, string>>;
  readonly private?: boolean;
}

/** Names the compiled files where the checkout names sources, and the Node that the package needs. */
function rewriteManifest(folder: string): void {
  const path = join(folder, 'package.json');
  const { private: _, bin = {}, ...manifest } = JSON.parse(readFileSync(path, 'utf8')) as Manifest;
  const programs = Object.entries(bin).map(([name, source]) => [name, source.replace(/\.ts$/, '.js')]);
  const { engines } = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8')) as { engines: object };
  const rewritten = {
    ...manifest,
    engines,
    exports: { './*': { types: './*.d.ts', default: './*.js' } },
    ...(programs.length > 0 ? { bin: Object.fromEntries(programs) } : {}),
  };
  writeFileSync(path, `${JSON.stringify(rewritten, null, 2)}\n`);
}
