/**
 * Holds every import, static, dynamic or of types, against the table of tidy-rules.ts.
 * Cycles are left to oxlint (import/no-cycle), resolution to the compiler. Called by tidy.test.ts.
 */
import { posix } from 'node:path';
import { importRules, neverImported, testPackages, typesOnly, type ImportRule } from './tidy-rules.ts';
import { isElement, lineAt, walk, type Finding, type SourceFile } from './tidy-sources.ts';

interface Import {
  readonly specifier: string;
  readonly at: number;
  readonly typesOnly: boolean;
}

export function checkImports(source: SourceFile): Finding[] {
  if (source.tree === undefined) return [];
  const rule = ruleFor(source.path);
  return importsOf(source).flatMap((one) => {
    const advice = rule === undefined ? 'its folder has no line in tidy-rules.ts' : judge(source, rule, one);
    return advice === null ? [] : [{ file: source.path, line: lineAt(source, one.at), rule: 'imports', advice }];
  });
}

function importsOf(source: SourceFile): Import[] {
  const found: Import[] = [];
  if (source.tree === undefined) return found;
  walk(source.tree, (element) => {
    const from = element.source;
    if (!isElement(from) || typeof from.value !== 'string') return;
    const isType = element.importKind === 'type' || element.exportKind === 'type' || element.type === 'TSImportType';
    found.push({ specifier: from.value, at: element.start, typesOnly: isType });
  });
  return found;
}

/** The rule with the longest match; `<kind>` matches any one folder of actors that has no rule of its own. */
function ruleFor(path: string): ImportRule | undefined {
  const exact = importRules
    .filter((rule) => path.startsWith(`${rule.from}/`) || path === `${rule.from}.ts`)
    .toSorted((a, b) => b.from.length - a.from.length)[0];
  const inKind = exact?.from === 'actors' && path.split('/').length > 2;
  return inKind ? importRules.find((rule) => rule.from === 'actors/<kind>') : exact;
}

const workspaceOf = (path: string): string => path.split('/')[0] ?? '';

function judge(source: SourceFile, rule: ImportRule, one: Import): string | null {
  const { specifier } = one;
  if (specifier.startsWith('node:')) {
    if (rule.node || source.isTest) return null;
    return `${rule.from} may not import ${specifier}; ask through a port of runtime/contract`;
  }
  if (!specifier.startsWith('.') && !specifier.startsWith('@photoncloud/')) return judgePackage(source, rule, one);
  const target = specifier.startsWith('.')
    ? posix.normalize(posix.join(posix.dirname(source.path), specifier))
    : specifier.slice('@photoncloud/'.length);
  if (specifier.startsWith('.') && workspaceOf(target) !== workspaceOf(source.path)) {
    return `${specifier} leaves the workspace; import @photoncloud/${target.replace(/\.tsx?$/, '')}`;
  }
  return judgeFolder(source, rule, target);
}

function judgePackage(source: SourceFile, rule: ImportRule, one: Import): string | null {
  const name = one.specifier
    .split('/')
    .slice(0, one.specifier.startsWith('@') ? 2 : 1)
    .join('/');
  if (rule.packages.includes('*') || rule.packages.includes(name)) return null;
  if (typesOnly.some((entry) => source.path.startsWith(`${entry.from}/`) && entry.package === name)) {
    return one.typesOnly || source.isTest ? null : `${rule.from} may import types of ${name} only: import type`;
  }
  if (source.isTest && [...testPackages, ...packagesOfWorkspace(source.path)].includes(name)) return null;
  return `${rule.from} may not import ${name}; it may import ${[...rule.packages, ...rule.folders].join(', ')}`;
}

const packagesOfWorkspace = (path: string): string[] =>
  importRules.filter((rule) => workspaceOf(rule.from) === workspaceOf(path)).flatMap((rule) => rule.packages);

function judgeFolder(source: SourceFile, rule: ImportRule, target: string): string | null {
  const hidden = neverImported.find((entry) => target.startsWith(`${entry.folder}/`));
  const mayLook = (folder: string): boolean => source.path.startsWith(`${folder}/`);
  if (hidden !== undefined && !mayLook(hidden.folder) && !mayLook(hidden.except)) {
    return `${hidden.folder} is never imported; pass in what is needed`;
  }
  const isFolder = source.path.startsWith(`${rule.from}/`);
  const own = isFolder ? rule.from : posix.dirname(source.path);
  const allowed = [...rule.folders, own, ...(source.isTest ? [workspaceOf(source.path)] : [])];
  if (allowed.some((folder) => target.startsWith(`${folder}/`))) return null;
  return `${own} may not import ${target}; it may import ${allowed.join(', ')}`;
}
