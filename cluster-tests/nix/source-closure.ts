/**
 * Static part of the audit of source roots: whatever the entries of a package reach must be in it. Followed are imports
 * (also of types, and dynamic ones with a literal), files beside a module (`join(import.meta.dirname, ...)`,
 * `new URL(..., import.meta.url)`), declared assets, `file:` dependencies, and what a tsconfig.json names. A path that
 * is made at run time has to be declared in nix/source-roots.json. Upholds: what is missing is named, with what needs
 * it.
 */
import { existsSync, lstatSync, readFileSync, realpathSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, normalize, relative, sep } from 'node:path';
import { parseSync } from 'oxc-parser';
import { isElement, parseSource, walk, type SourceFile, type SyntaxElement } from '../harness/tidy-sources.ts';
import { isBelow, isSelected, type SourcePackage } from './source-selection.ts';

interface Manifest {
  readonly folder: string;
  readonly name?: string;
  readonly exports?: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly workspaces?: readonly string[];
}

const isModule = (file: string): boolean => /\.tsx?$/.test(file);

export class SourceClosure {
  readonly #top: string;
  readonly #name: string;
  readonly #package: SourcePackage;
  readonly #tracked: ReadonlySet<string>;
  readonly #manifests: readonly Manifest[];
  readonly #waiting: string[] = [];
  /** Modules that the entries reach, from the top. */
  readonly reached = new Set<string>();
  readonly findings: string[] = [];

  constructor(top: string, name: string, source: SourcePackage, tracked: readonly string[]) {
    this.#top = top;
    this.#name = name;
    this.#package = source;
    this.#tracked = new Set(tracked);
    this.#manifests = tracked
      .filter((file) => file === 'package.json' || file.endsWith('/package.json'))
      .filter((file) => existsSync(join(top, file)))
      .map((file) => ({ ...this.#json<Manifest>(file), folder: dirname(file) }));
  }

  /** Follows everything. @returns what is missing, a line for each */
  audit(): readonly string[] {
    for (const entry of this.#package.entries) this.#need(`package ${this.#name}`, 'starts', entry);
    for (const file of this.#tracked) {
      if (!isSelected(this.#package, file) || !existsSync(join(this.#top, file))) continue;
      this.#checkLink(file);
      if (/(^|\/)package\.json$/.test(file)) this.#checkManifest(file);
      if (/(^|\/)tsconfig[\w.]*\.json$/.test(file)) this.#checkTypescript(file);
    }
    for (let file = this.#waiting.pop(); file !== undefined; file = this.#waiting.pop()) this.#checkModule(file);
    for (const file of Object.keys(this.#package.assets))
      if (!this.reached.has(file)) this.findings.push(`${file}: has declared assets, and nothing reaches it`);
    return this.findings;
  }

  #json<T>(file: string): T {
    return JSON.parse(readFileSync(join(this.#top, file), 'utf8')) as T;
  }

  /** `what` of `from` is the file or folder `path`, which must be in the package. */
  #need(from: string, what: string, path: string): void {
    const file = normalize(path).replace(/\/$/, '');
    const report = (why: string): void => void this.findings.push(`${from}: ${what} ${file}, which ${why}`);
    if (file.startsWith('..')) return report('is outside of the checkout');
    // Made on this machine; no source.
    if (isBelow('.cache', file)) return undefined;
    if (!existsSync(join(this.#top, file))) return report('does not exist');
    const inside = [...this.#tracked].filter((one) => isBelow(file, one));
    if (inside.length === 0) return report('git does not know, so Nix does not see it (git add)');
    if (!inside.some((one) => isSelected(this.#package, one)))
      return report(`is below no root of package ${this.#name}, or is left out there`);
    if (isModule(file) && !this.reached.has(file)) {
      this.reached.add(file);
      this.#waiting.push(file);
    }
    return undefined;
  }

  #checkLink(file: string): void {
    if (!lstatSync(join(this.#top, file)).isSymbolicLink()) return;
    const target = relative(realpathSync(this.#top), realpathSync(join(this.#top, file)))
      .split(sep)
      .join('/');
    this.#need(file, 'is a link to', target);
  }

  #checkManifest(file: string): void {
    const { workspaces = [], dependencies = {}, devDependencies = {} } = this.#json<Manifest>(file);
    for (const pattern of workspaces) {
      const fits = new RegExp(`^${pattern.replaceAll('*', '[^/]+')}/package\\.json$`);
      const folder = join(dirname(file), '.');
      const isThere = [...this.#tracked].some((one) => fits.test(relative(folder, one)));
      if (!isThere) this.findings.push(`${file}: workspace ${pattern} matches no folder with a package.json`);
    }
    for (const [name, spec] of Object.entries({ ...dependencies, ...devDependencies })) {
      const local = /^(?:file|link|portal):(.+)$/.exec(spec)?.[1];
      if (local !== undefined) this.#need(file, `depends on ${name} in`, join(dirname(file), local, 'package.json'));
    }
  }

  #checkTypescript(file: string): void {
    const config = this.#json<{
      extends?: string | string[];
      references?: { path: string }[];
      files?: string[];
      compilerOptions?: { paths?: Record<string, string[]> };
    }>(file);
    const at = (path: string): string => join(dirname(file), path);
    for (const base of [config.extends ?? []].flat())
      if (base.startsWith('.')) this.#need(file, 'extends', at(base.endsWith('.json') ? base : `${base}.json`));
    for (const { path } of config.references ?? [])
      this.#need(file, 'references', at(path.endsWith('.json') ? path : join(path, 'tsconfig.json')));
    for (const one of config.files ?? []) this.#need(file, 'has in files', at(one));
    for (const targets of Object.values(config.compilerOptions?.paths ?? {}))
      for (const target of targets) this.#need(file, 'has in paths', at(target.replace(/\/?\*.*$/, '')));
  }

  #checkModule(file: string): void {
    const source = parseSource(file, readFileSync(join(this.#top, file), 'utf8'));
    for (const specifier of importsOf(source)) this.#resolve(file, specifier);
    const { paths, isOpen } = filesBeside(source);
    for (const path of paths) this.#need(file, 'reads', join(dirname(file), path));
    const declared = this.#package.assets[file] ?? [];
    for (const asset of declared) this.#need(file, 'has the asset', asset);
    if (isOpen && declared.length === 0) {
      const advice = `makes the path of a file at run time; say in assets of nix/source-roots.json what it reads`;
      this.findings.push(`${file}: ${advice}`);
    }
  }

  #resolve(from: string, specifier: string): void {
    if (specifier.startsWith('.')) return this.#need(from, 'imports', join(dirname(from), specifier));
    if (isBuiltin(specifier)) return undefined;
    const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
    const own = this.#manifests.find((one) => one.name === name);
    if (own !== undefined) return this.#resolveExport(from, own, specifier.slice(name.length));
    const nearest = this.#manifests
      .filter(({ folder }) => folder === '.' || isBelow(folder, from))
      .toSorted((one, other) => other.folder.length - one.folder.length)[0];
    const { dependencies = {}, peerDependencies = {}, folder = '.' } = nearest ?? {};
    if (!Object.hasOwn({ ...dependencies, ...peerDependencies }, name))
      this.findings.push(`${from}: imports ${name}, which ${join(folder, 'package.json')} does not depend on`);
    return undefined;
  }

  #resolveExport(from: string, { folder, exports = {}, name }: Manifest, rest: string): void {
    for (const [key, target] of Object.entries(exports)) {
      if (typeof target !== 'string') continue;
      const [before = '', after] = key.split('*');
      const wanted = `.${rest}`;
      if (after === undefined && wanted === key) return this.#need(from, 'imports', join(folder, target));
      if (after === undefined || !wanted.startsWith(before) || !wanted.endsWith(after)) continue;
      const middle = wanted.slice(before.length, wanted.length - after.length);
      return this.#need(from, 'imports', join(folder, target.replace('*', middle)));
    }
    this.findings.push(`${from}: imports ${name}${rest}, which is not exported`);
  }
}

/** Specifiers of all imports and re-exports, and of dynamic imports of a literal. */
function importsOf({ path, text }: SourceFile): readonly string[] {
  const { module } = parseSync(path, text);
  const dynamic = module.dynamicImports.map(({ moduleRequest: { start, end } }) => text.slice(start, end));
  return [
    ...module.staticImports.map(({ moduleRequest }) => moduleRequest.value),
    ...module.staticExports.flatMap(({ entries }) => entries.flatMap((one) => one.moduleRequest?.value ?? [])),
    ...dynamic.flatMap((literal) => /^(['"`])([^$]*)\1$/.exec(literal)?.[2] ?? []),
  ];
}

/** The text of a literal; undefined for what is only known at run time. */
function literalOf(element: SyntaxElement): string | undefined {
  if (element.type === 'Literal' && typeof element.value === 'string') return element.value;
  const quasis = element.quasis as readonly { readonly value: { readonly cooked: string } }[] | undefined;
  return element.type === 'TemplateLiteral' && quasis?.length === 1 ? quasis[0]?.value.cooked : undefined;
}

/** Files that a module names by its own place, from its folder; `isOpen` when it makes such a path at run time. */
function filesBeside({ tree, text }: SourceFile): { readonly paths: readonly string[]; readonly isOpen: boolean } {
  const paths: string[] = [];
  let isOpen = false;
  if (tree === undefined) return { paths, isOpen };
  const textOf = ({ start, end }: SyntaxElement): string => text.slice(start, end);
  const take = (given: readonly SyntaxElement[]): void => {
    const literals = given.map(literalOf);
    if (literals.length === 0 || literals.includes(undefined)) isOpen = true;
    else paths.push(join(...(literals as string[])));
  };
  walk(tree, (element, ancestors) => {
    if (!/^import\.meta\.(dirname|url)$/.test(textOf(element)) || element.type !== 'MemberExpression') return;
    const around = ancestors.at(-1);
    const given = ((around?.arguments ?? []) as unknown[]).filter(isElement);
    const isFirst = given[0] === element;
    const isUrl = around?.type === 'NewExpression' && given.length === 2 && given[1] === element;
    const callee = isElement(around?.callee) ? textOf(around.callee) : '';
    if (isUrl && given[0] !== undefined) take([given[0]]);
    else if (isFirst && /^(path\.)?(join|resolve)$/.test(callee)) take(given.slice(1));
    // `import.meta.url.endsWith(...)` only looks at it.
    else if (around?.type !== 'MemberExpression') isOpen = true;
  });
  return { paths, isOpen };
}
