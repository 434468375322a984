/**
 * The files of this checkout as the tidy checks see them: text, lines, and for TypeScript the tree of oxc-parser.
 * Reads only; knows no rule. Called by tidy.test.ts and, with made-up text, by tidy-self.test.ts.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseSync, visitorKeys, type Comment } from 'oxc-parser';

export interface SyntaxElement {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

export interface SourceFile {
  /** Relative to the top, with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  readonly isTest: boolean;
  /** Absent for files that are not TypeScript. */
  readonly tree?: SyntaxElement;
  readonly comments: readonly Comment[];
}

export interface Finding {
  readonly file: string;
  readonly line: number;
  readonly rule: string;
  readonly advice: string;
}

/** Tracked and new files of the checkout at `top`, without ignored ones. */
export function listFiles(top: string): string[] {
  return execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: top, encoding: 'utf8' })
    .split('\n')
    .filter((path) => path !== '' && existsSync(join(top, path)));
}

export function readSource(top: string, path: string): SourceFile {
  return parseSource(path, readFileSync(join(top, path), 'utf8'));
}

export function parseSource(path: string, text: string): SourceFile {
  const isTest = /\.test\.tsx?$|-(for-tests|fixture)\.ts$/.test(path);
  const source = { path, text, lines: text.split('\n'), isTest };
  if (!/\.tsx?$/.test(path)) return { ...source, comments: [] };
  const parsed = parseSync(path, text, { range: false });
  return { ...source, tree: parsed.program as unknown as SyntaxElement, comments: parsed.comments };
}

/** Line number, from 1, of the offset `at`. */
export function lineAt(source: SourceFile, at: number): number {
  return source.text.slice(0, at).split('\n').length;
}

/** Calls `visit` for `element` and everything inside it, outermost first, with its ancestors, nearest last. */
export function walk(
  element: SyntaxElement,
  visit: (element: SyntaxElement, ancestors: readonly SyntaxElement[]) => void,
): void {
  const ancestors: SyntaxElement[] = [];
  const step = (at: SyntaxElement): void => {
    visit(at, ancestors);
    ancestors.push(at);
    for (const key of visitorKeys[at.type] ?? []) {
      const child = at[key];
      for (const one of Array.isArray(child) ? child : [child]) if (isElement(one)) step(one);
    }
    ancestors.pop();
  };
  step(element);
}

export const isElement = (value: unknown): value is SyntaxElement =>
  typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';

/** `a.b.c` for a chain of plain members, the name for an identifier, else the empty string. */
export function dottedName(element: unknown): string {
  if (!isElement(element)) return '';
  if (element.type === 'Identifier') return String(element.name);
  if (element.type !== 'MemberExpression' || element.computed === true) return '';
  const object = dottedName(element.object);
  return object === '' ? '' : `${object}.${dottedName(element.property)}`;
}

export const formatFinding = (finding: Finding): string =>
  `${finding.file}:${finding.line}  ${finding.rule}: ${finding.advice}`;
