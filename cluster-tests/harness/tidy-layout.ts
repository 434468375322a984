/**
 * Checks of files as text and of the checkout as a whole: length, width, head comment, names, open ends, top level,
 * links of pages. Called by tidy.test.ts.
 */
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { bannedWords, fileLines, lineWidth, retiredWords, topLevel } from './tidy-rules.ts';
import { isElement, lineAt, type Finding, type SourceFile } from './tidy-sources.ts';

const measured = /\.(ts|tsx|sh|lua|pl)$/;

export function checkText(source: SourceFile): Finding[] {
  if (!measured.test(source.path)) return [];
  const findings: Finding[] = [];
  const report = (line: number, rule: string, advice: string): void => {
    findings.push({ file: source.path, line, rule, advice });
  };
  const length = source.lines.length - (source.lines.at(-1) === '' ? 1 : 0);
  const longFile = `${length} lines; give a part of it a noun of its own (${fileLines} at most)`;
  if (length > fileLines) report(length, 'long file', longFile);
  source.lines.forEach((text, index) => {
    if (text.length > lineWidth) report(index + 1, 'wide line', `${text.length} columns; ${lineWidth} at most`);
    if (source.path.startsWith('runtime/') && /tenant/i.test(text)) {
      report(index + 1, 'foreign word', 'the runtime knows scopes; what a scope is, the product says');
    }
  });
  for (const comment of source.comments) {
    if (!/\b(TODO|FIXME|XXX)\b/.test(comment.value)) continue;
    report(lineAt(source, comment.start), 'open end', 'do it, or say in plain words what is not done and why');
  }
  if (!source.isTest && !hasHead(source)) {
    report(1, 'file head', 'begin with a comment: what it is, what it is not, who calls it, which promise it upholds');
  }
  return findings;
}

function hasHead(source: SourceFile): boolean {
  const first = source.lines.find((line) => line.trim() !== '' && !line.startsWith('#!')) ?? '';
  return /^(\/\*|\/\/|#|--)/.test(first);
}

/** Whole words of `someName`, `some-name`, `SOME_NAME`, in lower case. */
const wordsOf = (name: string): string[] =>
  name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .split(/[^A-Za-z0-9]+/)
    .flatMap((part) => part.split(' '))
    .map((word) => word.toLowerCase());

/** Every whole word, and every part of a name, of a text or a page. */
export function checkRetiredWords(source: SourceFile): Finding[] {
  return source.lines.flatMap((text, index) => {
    const retired = new Set(wordsOf(text).filter((word) => Object.hasOwn(retiredWords, word)));
    return [...retired].map((word) => ({
      file: source.path,
      line: index + 1,
      rule: 'retired word',
      advice: `"${word}" is retired; the term is "${retiredWords[word]}" (docs/glossary.md)`,
    }));
  });
}

export function checkNames(source: SourceFile): Finding[] {
  if (!measured.test(source.path)) return [];
  const findings: Finding[] = [];
  const check = (name: string, line: number, what: string): void => {
    const word = wordsOf(name).find((one) => bannedWords.includes(one));
    if (word === undefined) return;
    const advice = `"${word}" in ${what} ${name} says nothing; name the thing`;
    findings.push({ file: source.path, line, rule: 'banned word', advice });
  };
  const file = basename(source.path);
  check(file.replace(/\.(test\.)?\w+$/, ''), 1, 'the file name');
  if (/^index\.tsx?$/.test(file)) {
    findings.push({ file: source.path, line: 1, rule: 'barrel', advice: 'name the file after what it holds' });
  }
  if (!/^[a-z0-9.-]+$/.test(file)) {
    const advice = 'lower case, joined with "-": <noun>-<role>.ts';
    findings.push({ file: source.path, line: 1, rule: 'file name', advice });
  }
  for (const [name, at] of exportedNames(source)) check(name, lineAt(source, at), 'the exported name');
  return findings;
}

function exportedNames(source: SourceFile): [string, number][] {
  const names: [string, number][] = [];
  for (const statement of (source.tree?.body ?? []) as unknown[]) {
    if (!isElement(statement) || statement.type !== 'ExportNamedDeclaration') continue;
    const declared = statement.declaration;
    const parts = isElement(declared) ? [declared, ...((declared.declarations ?? []) as unknown[])] : [];
    for (const part of [...parts, ...((statement.specifiers ?? []) as unknown[])]) {
      const id = isElement(part) ? (part.exported ?? part.id) : undefined;
      if (isElement(id) && typeof id.name === 'string') names.push([id.name, id.start]);
    }
  }
  return names;
}

/** A contract may share its name with the file that fulfils it; otherwise a file is found by its name alone. */
export function checkUniqueNames(paths: readonly string[]): Finding[] {
  const seen = new Map<string, string>();
  const findings: Finding[] = [];
  for (const path of paths) {
    if (!/\.tsx?$/.test(path) || path.includes('/contract/')) continue;
    const name = basename(path);
    const other = seen.get(name);
    const advice = `${other} has this name; say in the name what differs`;
    if (other === undefined) seen.set(name, path);
    else findings.push({ file: path, line: 1, rule: 'unique names', advice });
  }
  return findings;
}

/** Tools' dotfiles may stand at the top; everything else is in the list. */
export function checkTopLevel(paths: readonly string[]): Finding[] {
  const names = new Set(paths.map((path) => path.split('/')[0] ?? ''));
  return [...names]
    .filter((name) => !topLevel.includes(name) && !(name.startsWith('.') && paths.includes(name)))
    .map((name) => ({ file: name, line: 1, rule: 'top level', advice: 'move it into one of the rooms of this house' }));
}

/** Links of a Markdown page, and paths in backticks that name a file, lead to files that exist. */
export function checkLinks(top: string, source: SourceFile): Finding[] {
  const matches = (text: string, pattern: RegExp): string[] =>
    [...text.matchAll(pattern)].map((match) => match[1] ?? '');
  return source.lines.flatMap((text, index) => {
    const links = matches(text, /\]\(([^)#\s]+)[^)]*\)/g).filter((link) => !/^https?:/.test(link));
    const named = matches(text, /`((?:runtime|machines|actors|cluster-tests|nix|docs)\/[\w./@-]+)`/g);
    return [...links.map((link) => join(dirname(source.path), link)), ...named]
      .filter((path) => !existsSync(join(top, path)))
      .map((path) => ({ file: source.path, line: index + 1, rule: 'links', advice: `${path} does not exist` }));
  });
}
