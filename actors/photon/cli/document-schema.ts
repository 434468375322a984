/**
 * Declarative documents: what `photon apply -f` takes, as YAML or JSON. One document declares one object: its kind,
 * tenant, name, labels, protection and spec, by the schema of the kind (machines/<kind>/<kind>-protocol.ts); or it is a
 * list of objects, as the state file that Nix writes. Unknown fields are refused with their path.
 */
import { readFileSync } from 'node:fs';
import type { DesiredObject } from '@photoncloud/machines/deployment/desired-objects';
import { declaredKinds } from '@photoncloud/machines/kinds';
import { PhotonError, describeCause, reject, type Issue } from '@photoncloud/runtime/contract/errors';
import { issuesOf } from '@photoncloud/runtime/control-api/api-problem';
import { LineCounter, isNode, parseAllDocuments, type Document } from 'yaml';
import { callerPath } from './cli-options.ts';
import { desiredSchema, documentSchema, tenantOfDocument } from '../../kind/documents.ts';

export interface Declaration {
  readonly kind: string;
  readonly tenant: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly protect: boolean;
  /** With the defaults of everything that was left out. */
  readonly spec: Readonly<Record<string, unknown>>;
  /** Origin of the document, for messages: `tenant.yaml#3`; in a list `state.json#1.3`. */
  readonly origin: string;
}

function textOf(path: string): string {
  try {
    return readFileSync(path === '-' ? 0 : callerPath(path), 'utf8');
  } catch (error) {
    throw reject(
      'file_unreadable',
      `${path} cannot be read (${describeCause(error)}); name a file of documents with -f`,
    );
  }
}

/**
 * Reads and validates all files before anything is done with one of them.
 * @param tenant of the documents that name none
 * @throws rejection `document_invalid` whose issues name document, path and reason; `file_unreadable`;
 * `documents_needed` when the files declare nothing
 */
export const readAllDocuments = (paths: readonly string[], tenant: string | undefined): Declaration[] =>
  readDeclarations(paths, tenant, documentSchema);

/** A document of the desired state of a deployment. */
export interface DesiredDeclaration extends Declaration, Pick<DesiredObject, 'deletionPolicy' | 'movedFrom'> {}

/** The same for documents of a deployment, which say more. */
export const readDesired = (paths: readonly string[], tenant: string | undefined): DesiredDeclaration[] =>
  readDeclarations(paths, tenant, desiredSchema) as DesiredDeclaration[];

function readDeclarations(paths: readonly string[], tenant: string | undefined, schema: Reading['schema']) {
  const read: Reading = { issues: [], declarations: [], tenant, schema };
  for (const path of paths) readFile(path, read);
  const { issues, declarations } = read;
  const names = paths.join(', ');
  if (issues.length > 0)
    throw new PhotonError('rejection', 'document_invalid', `${names}: not valid; nothing was changed`, { issues });
  if (declarations.length > 0) return declarations;
  throw new PhotonError('rejection', 'documents_needed', `${names}: declares no object; nothing was changed`);
}

interface Reading {
  readonly issues: Issue[];
  readonly declarations: Declaration[];
  readonly tenant: string | undefined;
  readonly schema: typeof documentSchema;
}

/** Line of a field in its file, or of the innermost field around it that the document has. */
function lineOf(parsed: Document, lines: LineCounter, field: string): number {
  const keys = field === '' ? [] : field.split('.');
  for (let depth = keys.length; depth > 0; depth--) {
    const node: unknown = parsed.getIn(keys.slice(0, depth), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return lines.linePos(parsed.contents?.range?.[0] ?? parsed.range?.[0] ?? 0).line;
}

function readFile(path: string, read: Reading): void {
  const { issues } = read;
  const lineCounter = new LineCounter();
  parseAllDocuments(textOf(path), { uniqueKeys: true, lineCounter }).forEach((parsed, at) => {
    const origin = `${path}#${at + 1}`;
    if (parsed.errors.length > 0) {
      issues.push(
        ...parsed.errors.map(({ message }) => ({
          path: origin,
          message: message.split(/:?\n/)[0] ?? 'is not valid YAML',
        })),
      );
      return;
    }
    let value: unknown;
    try {
      // maxAliasCount limits the expansion of aliases.
      value = parsed.toJS({ maxAliasCount: 20 });
    } catch (error) {
      issues.push({ path: origin, message: describeCause(error) });
      return;
    }
    if (value === null) return;
    const lineIn = (field: string): number => lineOf(parsed, lineCounter, field);
    if (!Array.isArray(value)) return takeDocument(value, origin, lineIn, read);
    for (const [index, one] of value.entries())
      takeDocument(one, `${origin}.${index + 1}`, (field) => lineIn(`${index}.${field}`.replace(/\.$/, '')), read);
  });
}

/** @param lineIn line of a field of the document */
function takeDocument(value: unknown, origin: string, lineIn: (field: string) => number, read: Reading): void {
  const { issues, declarations, tenant: given, schema } = read;
  const checked = schema.safeParse(value);
  if (!checked.success) {
    issues.push(
      ...issuesOf(checked.error).map(({ path: field, message }) => ({
        path: `${origin} ${field}`.trimEnd(),
        message: `${message} (line ${lineIn(field)})`,
      })),
    );
    return;
  }
  const { tenant: own, ...rest } = checked.data as unknown as Omit<Declaration, 'tenant'> & { tenant?: string };
  const tenant = tenantOfDocument({ ...rest, tenant: own }, given);
  if (tenant === undefined) {
    issues.push({ path: `${origin} tenant`, message: 'is missing; write it, or name one with -t TENANT' });
    return;
  }
  const same = declarations.find((one) => one.kind === rest.kind && one.tenant === tenant && one.name === rest.name);
  if (same === undefined) declarations.push({ ...rest, tenant, origin });
  else issues.push({ path: `${origin} name`, message: `declares what ${same.origin} declares too; keep one of them` });
}

/** The documents among `all` that declare what this one is made from: a snapshot its volume, a clone its snapshot. */
export function sourcesOf({ kind, tenant, spec }: Declaration, all: readonly Declaration[]): readonly Declaration[] {
  const declared = declaredKinds.find((schema) => schema.kind === kind)?.declared;
  const named = declared?.madeFrom?.(spec as never) ?? [];
  return all.filter(
    (one) => one.tenant === tenant && named.some((each) => each.kind === one.kind && each.name === one.name),
  );
}

/** Kinds in their order, documents of one kind as written; what another one is made from comes before it. */
export function inOrder(declarations: readonly Declaration[]): Declaration[] {
  const order = declaredKinds.map(({ kind }) => kind);
  const rank = ({ kind }: Declaration): number => order.indexOf(kind);
  const ordered = new Set<Declaration>();
  const begun = new Set<Declaration>();
  const add = (one: Declaration): void => {
    // Two that are made from each other are told so by the cluster.
    if (begun.has(one)) return;
    begun.add(one);
    sourcesOf(one, declarations).forEach(add);
    ordered.add(one);
  };
  [...declarations].sort((a, b) => rank(a) - rank(b)).forEach(add);
  return [...ordered];
}
