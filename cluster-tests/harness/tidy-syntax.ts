/**
 * Checks of one TypeScript file by its syntax tree: banned calls, swallowed errors, long functions, forms of TypeScript
 * that this project does not use, tests that never run. Called by tidy.test.ts; oxlint does what it has a rule for.
 */
import { bannedCalls, functionLines } from './tidy-rules.ts';
import { dottedName, isElement, lineAt, walk } from './tidy-sources.ts';
import type { Finding, SourceFile, SyntaxElement } from './tidy-sources.ts';

type Report = (at: SyntaxElement, rule: string, advice: string) => void;

export function checkSyntax(source: SourceFile): Finding[] {
  const findings: Finding[] = [];
  if (source.tree === undefined) return findings;
  const report: Report = (at, rule, advice) =>
    findings.push({ file: source.path, line: lineAt(source, at.start), rule, advice });
  const isFree = source.isTest || source.path.startsWith('cluster-tests/');
  walk(source.tree, (element, ancestors) => {
    checkForm(element, report);
    checkCatch(source, element, report);
    if (isFunction(element)) checkLength(source, element, report);
    if (!isFree) checkCall(source, element, ancestors.at(-1), report);
    if (source.path.startsWith('machines/') && !source.isTest) checkPure(element, report);
  });
  if (/\.test\.tsx?$/.test(source.path)) checkTestEnd(source, source.tree, report);
  return findings;
}

function checkForm(element: SyntaxElement, report: Report): void {
  if (element.type === 'ExportDefaultDeclaration') report(element, 'default export', 'export it by its name');
  if (element.type === 'ExportAllDeclaration') report(element, 'barrel', 'import a name from the file that defines it');
  if (element.type === 'TSEnumDeclaration') report(element, 'enum', 'use a union of string literals');
  if (element.type === 'TSAnyKeyword') report(element, 'any', 'use unknown, and zod at the door');
  if (element.type === 'MemberExpression' && /^(test|\w*suite)\.only$/i.test(dottedName(element))) {
    report(element, 'only', 'remove .only: it hides the other tests of the file');
  }
}

function checkCall(source: SourceFile, element: SyntaxElement, parent: SyntaxElement | undefined, report: Report) {
  if (element.type === 'Identifier' && isNameOnly(element, parent)) return;
  const name =
    element.type === 'NewExpression' &&
    dottedName(element.callee) === 'Date' &&
    Array.isArray(element.arguments) &&
    element.arguments.length === 0
      ? 'new Date()'
      : dottedName(element);
  if (name === '') return;
  const bare = name.replace(/^globalThis\./, '');
  const banned = bannedCalls.find((entry) => entry.call === bare);
  if (banned === undefined || banned.homes.some((home) => source.path.startsWith(home))) return;
  if (source.path.endsWith('-main.ts') && (bare === 'console' || bare === 'process.env')) return;
  report(element, 'banned call', `${banned.call} is not at home here; use ${banned.instead}`);
}

/** Whether the identifier names a property, a key, a type or an import, and calls nothing. */
function isNameOnly(element: SyntaxElement, parent: SyntaxElement | undefined): boolean {
  if (parent === undefined) return false;
  if (parent.type === 'MemberExpression') return parent.property === element && parent.computed !== true;
  if (/^(Import|Export|TS)/.test(parent.type)) return true;
  return parent.key === element && parent.shorthand !== true;
}

/** Charts decide at once: nothing in machines waits, or starts anything. */
function checkPure(element: SyntaxElement, report: Report): void {
  if (element.async === true || element.type === 'AwaitExpression' || dottedName(element) === 'Promise') {
    report(element, 'impure machine', 'a chart decides at once; name an effect and let its result return as an event');
  }
  const key = isElement(element.key) ? dottedName(element.key) : '';
  if (element.type === 'Property' && (key === 'invoke' || key === 'spawn')) {
    report(element, 'impure machine', `${key} does not survive a restart; use an effect`);
  }
  if (element.type === 'Identifier' && element.name === 'spawnChild') {
    report(element, 'impure machine', 'spawnChild does not survive a restart; send a message to an actor');
  }
}

function checkCatch(source: SourceFile, element: SyntaxElement, report: Report): void {
  if (element.type === 'CatchClause' && isElement(element.body)) {
    const named = isElement(element.param) ? dottedName(element.param) : '';
    if (!hasComment(source, element.start, element.end) && !acts(element.body, named)) {
      report(element, 'swallowed error', 'rethrow, return an outcome, or say in a comment why it does not matter');
    }
  }
  const callee = element.type === 'CallExpression' ? element.callee : undefined;
  if (!isElement(callee) || callee.type !== 'MemberExpression') return;
  if (isElement(callee.property) && callee.property.name === 'catch') checkCatchCall(source, element, report);
}

/** `.catch(() => {})` and its like. */
function checkCatchCall(source: SourceFile, call: SyntaxElement, report: Report): void {
  const [first] = Array.isArray(call.arguments) ? (call.arguments as unknown[]) : [];
  if (!isElement(first) || !isFunction(first) || !isElement(first.body)) return;
  const body = first.body;
  const empty =
    body.type === 'BlockStatement'
      ? (body.body as unknown[]).length === 0
      : /^(undefined|null|void 0)$/.test(source.text.slice(body.start, body.end));
  const line = lineAt(source, first.start);
  const said = source.lines.slice(Math.max(0, line - 2), line).some((text) => /\/\/|\*\//.test(text));
  if (empty && !said) report(first, 'swallowed error', 'act on it, or say in a comment why it does not matter');
}

/** Whether a catch block throws, returns, leaves the loop, or does something with the error it was given. */
function acts(body: SyntaxElement, errorName: string): boolean {
  let found = false;
  walk(body, (element) => {
    if (/^(Throw|Return|Continue|Break)Statement$/.test(element.type)) found = true;
    if (element.type === 'AssignmentExpression' || element.type === 'CallExpression') found = true;
    if (errorName !== '' && element.type === 'Identifier' && element.name === errorName) found = true;
  });
  return found;
}

const hasComment = (source: SourceFile, start: number, end: number): boolean =>
  source.comments.some((comment) => comment.start >= start && comment.end <= end);

const isFunction = (element: SyntaxElement): boolean =>
  /^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(element.type);

/** Lines of a function without those of the functions inside it, which are measured by themselves. */
function checkLength(source: SourceFile, element: SyntaxElement, report: Report): void {
  const span = (at: SyntaxElement): number => lineAt(source, at.end) - lineAt(source, at.start);
  if (span(element) < functionLines) return;
  let inner = 0;
  let innerEnd = 0;
  walk(element, (one) => {
    if (one === element || !isFunction(one) || one.start < innerEnd) return;
    innerEnd = one.end;
    inner += span(one);
  });
  const length = span(element) + 1 - inner;
  if (length > functionLines) report(element, 'long function', `${length} lines; give its parts names (about 70)`);
}

function checkTestEnd(source: SourceFile, tree: SyntaxElement, report: Report): void {
  const last = (tree.body as SyntaxElement[]).at(-1);
  const call = isElement(last?.expression) ? last.expression : undefined;
  if (call?.type === 'CallExpression' && dottedName(call.callee).endsWith('.run')) return;
  report(last ?? tree, 'test.run', `end ${source.path} with test.run(); without it no test runs`);
}
