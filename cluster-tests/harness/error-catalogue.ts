/**
 * Every error code of the product with its group and what it says, read from the sources: docs/errors.md is generated
 * from it and held to it by a test. A code is stable; what it says may be improved.
 */
import { resolve } from 'node:path';
import { isElement, listFiles, readSource, walk, type SyntaxElement } from './tidy-sources.ts';

export interface ErrorCode {
  readonly code: string;
  readonly groups: readonly string[];
  /** The first sentence found; `...` stands for what is filled in. */
  readonly says: string;
  readonly files: readonly string[];
}

const top = resolve(import.meta.dirname, '../..');
const codePattern = /^[a-z]+(?:_[a-z0-9]+)*$/;

/** Texts of the constants met so far in a file, the latest of a name: messages are often named before they are used. */
type Constants = Map<string, string>;

/** A literal, a template, a constant, or a function that returns one of them, as text; undefined for anything else. */
function textOf(element: unknown, constants: Constants): string | undefined {
  if (!isElement(element)) return undefined;
  if (element.type === 'Identifier') return constants.get(String(element['name']));
  if (element.type === 'Literal' && typeof element['value'] === 'string') return element['value'];
  if (element.type === 'ArrowFunctionExpression') return textOf(element['body'], constants);
  if (element.type === 'BinaryExpression') {
    return `${textOf(element['left'], constants) ?? '...'}${textOf(element['right'], constants) ?? '...'}`;
  }
  if (element.type !== 'TemplateLiteral' || !Array.isArray(element['quasis'])) return undefined;
  const pieces = (element['quasis'] as { value: { cooked: string } }[]).map((quasi) => quasi.value.cooked);
  return pieces.join('...');
}

function note(declarator: SyntaxElement, constants: Constants): void {
  const text = textOf(declarator['init'], constants);
  const name = (declarator['id'] as { name?: string } | undefined)?.name;
  if (name !== undefined && text !== undefined) constants.set(name, text);
}

interface Use {
  readonly code: string;
  readonly group: string;
  readonly says: string;
}

function fieldsOf(element: SyntaxElement): Map<string, unknown> {
  const fields = new Map<string, unknown>();
  for (const property of (element['properties'] ?? []) as SyntaxElement[]) {
    const key = property['key'] as { name?: string } | undefined;
    if (key?.name !== undefined) fields.set(key.name, property['value']);
  }
  return fields;
}

/** Functions that are called with a code and a text; `refuse` is that of machines/values/declared.ts. */
const rejecting = ['reject', 'rejection', 'refuse'];

/**
 * `new PhotonError(group, code, message)`, `reject(code, message)`, or a record with `code` and `message` or
 * `advice`.
 */
function useAt(element: SyntaxElement, constants: Constants): Use | undefined {
  const text = (part: unknown): string | undefined => textOf(part, constants);
  const given = (Array.isArray(element['arguments']) ? element['arguments'] : []) as unknown[];
  const callee = element['callee'] as { name?: string } | undefined;
  if (element.type === 'NewExpression' && callee?.name === 'PhotonError') {
    const [group, code, says] = given.map(text);
    return code === undefined ? undefined : { code, group: group ?? 'fault', says: says ?? '' };
  }
  if (element.type === 'CallExpression' && rejecting.includes(callee?.name ?? '')) {
    const [code, says] = given.map(text);
    return code === undefined ? undefined : { code, group: 'rejection', says: says ?? '' };
  }
  if (element.type !== 'ObjectExpression') return undefined;
  const fields = fieldsOf(element);
  const code = text(fields.get('code'));
  if (code === undefined || !(fields.has('message') || fields.has('advice'))) return undefined;
  const says = text(fields.get('message')) ?? text(fields.get('advice')) ?? '';
  return { code, group: text(fields.get('group')) ?? 'rejection', says };
}

export function errorCatalogue(): ErrorCode[] {
  const found = new Map<string, { groups: Set<string>; says: string; files: Set<string> }>();
  const isProduct = (path: string): boolean =>
    /^(actors|machines|runtime)\/.*\.ts$/.test(path) && !/(\.test|-for-tests|-fixture)\.ts$/.test(path);
  for (const path of listFiles(top).filter(isProduct)) {
    const source = readSource(top, path);
    if (source.tree === undefined) continue;
    const constants: Constants = new Map();
    walk(source.tree, (element) => {
      if (element.type === 'VariableDeclarator') note(element, constants);
      const use = useAt(element, constants);
      if (use === undefined || !codePattern.test(use.code)) return;
      const entry = found.get(use.code) ?? { groups: new Set(), says: '', files: new Set() };
      entry.groups.add(use.group);
      entry.files.add(path);
      if (entry.says === '') entry.says = use.says;
      found.set(use.code, entry);
    });
  }
  return [...found]
    .map(([code, { groups, says, files }]) => ({ code, groups: [...groups].sort(), says, files: [...files].sort() }))
    .sort((a, b) => (a.code < b.code ? -1 : 1));
}

const groupMeaning = [
  ['rejection', 'a chart or policy says no', 'the client changes the request'],
  ['fault', 'the world failed and it may pass', 'the chart backs off and tries again'],
  ['defeat', 'the world failed and it will not pass', 'an operator acts'],
  ['unknown', 'no answer came', 'observe, or send the same command with the same key again'],
  ['ownership_lost', 'our epoch or run is not the newest', 'nothing; the newer owner acts'],
  ['bug', 'an assertion broke', 'the process restarts; report it'],
] as const;

export function errorPage(): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
  const rows = errorCatalogue().map(({ code, groups, says, files }) => {
    const [file = '', ...others] = files;
    const where = `[${file.split('/').at(-1)}](../${file})${others.length === 0 ? '' : ` and ${others.length} more`}`;
    const what = says === '' ? '(computed from what was given)' : cell(says);
    return `| \`${code}\` | ${groups.join(', ')} | ${what} | ${where} |`;
  });
  const groups = groupMeaning.map(([group, meaning, action]) => `| ${group} | ${meaning} | ${action} |`);
  return [
    '# Errors',
    '',
    'Generated by `npm run errors`. A code is stable; programs switch on it, never on the text.',
    '',
    '| group | meaning | who acts, how |',
    '|---|---|---|',
    ...groups,
    '',
    '| code | group | says | from |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

export const errorPagePath = resolve(top, 'docs/errors.md');
