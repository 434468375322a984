/**
 * `photon apply -f FILE` creates and updates the declared objects in the order of their dependencies; `photon diff -f
 * FILE` shows what that would change. Validation of the whole file comes first. Every object is sent as `<kind>.apply`,
 * which creates it, updates it, or finds it unchanged; so a second run, or a run after a lost answer, changes nothing
 * twice. Nothing is pruned.
 */
import { randomUUID } from 'node:crypto';
import { declaredKinds } from '@photoncloud/machines/kinds';
import { specChanges } from '@photoncloud/machines/values/spec-changes';
import { sameJson } from '@photoncloud/machines/values/failures';
import { idOf, systemTenant } from '@photoncloud/machines/values/identifiers';
import type { SpecChange } from '@photoncloud/machines/values/kind';
import type { CallOptions, PhotonClient } from '@photoncloud/runtime/client/client';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { changeLines } from './change-text.ts';
import { inOrder, sourcesOf, type Declaration } from './document-schema.ts';
import { askWithin, type Deadline } from './deadline.ts';
import { withoutEqualSecrets } from './secret-changes.ts';
import { settle } from './settled-state.ts';

export interface ApplyStep {
  readonly id: string;
  readonly result: 'created' | 'updated' | 'unchanged';
  readonly state: string;
  readonly tookMs: number;
}

export interface Difference {
  readonly id: string;
  /** `replace`: apply would be rejected, because a changed field requires a new object. */
  readonly result: 'create' | 'update' | 'replace' | 'unchanged';
  readonly changes: readonly SpecChange[];
}

interface Stored {
  readonly lifecycle: 'live' | 'removed';
  readonly spec: Readonly<Record<string, unknown>> | null;
  readonly status: { readonly labels?: Declaration['labels']; readonly protect?: boolean } | null;
}

async function storedOf(client: PhotonClient, id: string): Promise<Stored | undefined> {
  try {
    return (await client.call('actor.get', { id })) as unknown as Stored;
  } catch (error) {
    if (error instanceof PhotonError && error.record.code === 'not_found') return undefined;
    throw error;
  }
}

/** Translates issues from params of the command to fields of the document. */
function asInDocument(error: unknown, declaration: Declaration): unknown {
  if (!(error instanceof PhotonError)) return error;
  const { group, code, message, issues = [], ...rest } = error.record;
  const inDocument = issues.map((issue) => ({
    path: `${declaration.origin} ${issue.path}`,
    message: issue.message,
  }));
  return new PhotonError(group, code, message, { retryable: rest.retryable, public: true, issues: inDocument });
}

const idFor = ({ kind, tenant, name }: Declaration): string => idOf(kind, tenant, name);

export async function applyDocuments(
  client: PhotonClient,
  declarations: readonly Declaration[],
  options: {
    readonly wait: boolean;
    readonly deadline: Deadline;
    readonly onStep: (step: ApplyStep) => void;
    readonly onWait: (text: string) => void;
    /** Before the error of an object that is not the only one. */
    readonly onStop: (text: string) => void;
  },
): Promise<void> {
  for (const [done, declaration] of inOrder(declarations).entries()) {
    const startedAt = performance.now();
    const { kind, tenant, name, spec, labels, protect } = declaration;
    const id = idFor(declaration);
    options.onWait(`${id} requested`);
    let result: ApplyStep['result'];
    const { waitMs, call } = askWithin(options.deadline);
    try {
      const idempotencyKey = `apply-${Date.now()}-${randomUUID()}`;
      const command = { scope: tenant, name, idempotencyKey, waitMs };
      const reply = (await client.call(`${kind}.apply`, { ...command, params: { spec, labels, protect } }, call)) as {
        readonly result?: { readonly result?: ApplyStep['result'] };
      };
      result = reply.result?.result ?? 'unchanged';
    } catch (error) {
      const left = declarations.length - done - 1;
      if (done + left > 0) options.onStop(`stopped at ${id}: ${done} applied before it, ${left} not tried`);
      throw asInDocument(error, declaration);
    }
    // A VM can use an image only once it is complete, so apply always waits for images. A volume is made from a
    // complete snapshot.
    const isSource = kind === 'snapshot' && declarations.some((one) => sourcesOf(one, [declaration]).length > 0);
    const state =
      options.wait || kind === 'image' || isSource
        ? await settle(client, id, { deadline: options.deadline, onWait: options.onWait })
        : ((await client.call('actor.get', { id }, call)) as { stateName: string }).stateName;
    options.onStep({ id, result, state, tookMs: performance.now() - startedAt });
  }
}

interface Tried {
  readonly result: { readonly result?: { readonly result?: ApplyStep['result'] } | null; readonly from?: unknown };
}

/** Fields of the declaration that refer to objects which the same files declare, as issues name them. */
function pathsWithin({ kind, tenant, spec }: Declaration, all: readonly Declaration[]): string[] {
  const isHere = (of: string, name: string, where: string): boolean =>
    all.some((one) => one.kind === of && one.tenant === where && one.name === name);
  const declared = declaredKinds.find((schema) => schema.kind === kind)?.declared;
  const named = (declared?.references(spec as never) ?? []).filter(({ kind: of, name, grants }) =>
    isHere(of, name, grants === undefined ? tenant : systemTenant),
  );
  return [...(isHere('tenant', tenant, tenant) ? ['tenant'] : []), ...named.map(({ path }) => `spec.${path}`)];
}

/** The refusal without the references to objects of the same files, or `nothing` when it names no others. */
function missingElsewhere(error: unknown, within: readonly string[]): unknown {
  if (!(error instanceof PhotonError) || error.record.code !== 'reference_not_found') return error;
  const { group, code, issues = [] } = error.record;
  const others = issues.filter(({ path }) => !within.includes(path));
  const [first] = others;
  if (first === undefined) return 'nothing';
  const message = `${first.path}: ${first.message}; create it first or correct the name.`;
  return others.length === issues.length ? error : new PhotonError(group, code, message, { issues: others });
}

/**
 * What apply would do to an object, asked of its actor. An object that refers to others of the same files cannot be
 * tried before they exist; it is then said to be created after them.
 */
async function tryOne(
  client: PhotonClient,
  declaration: Declaration,
  all: readonly Declaration[],
  call: CallOptions,
): Promise<string> {
  const { kind, tenant, name, spec, labels, protect } = declaration;
  const command = { scope: tenant, name, idempotencyKey: `apply-${randomUUID()}`, dryRun: true };
  try {
    const reply = await client.call(`${kind}.apply`, { ...command, params: { spec, labels, protect } }, call);
    const { from, result } = (reply as Tried).result;
    return from === null ? 'created' : (result?.result ?? 'updated');
  } catch (error) {
    const missing = missingElsewhere(error, pathsWithin(declaration, all));
    if (missing === 'nothing') return 'created';
    throw asInDocument(missing, declaration);
  }
}

/** Calls `onStep` for each object with what apply would do; nothing is changed. @throws the first refusal */
export async function tryDocuments(
  client: PhotonClient,
  declarations: readonly Declaration[],
  deadline: Deadline,
  onStep: (id: string, result: string) => void,
): Promise<void> {
  for (const declaration of inOrder(declarations)) {
    const { call } = askWithin(deadline);
    onStep(idFor(declaration), await tryOne(client, declaration, declarations, call));
  }
}

/** The difference between a declaration and the object in the cluster. */
async function differenceOf(client: PhotonClient, declaration: Declaration): Promise<Difference> {
  const id = idFor(declaration);
  const stored = await storedOf(client, id);
  const known = declaredKinds.find(({ kind }) => kind === declaration.kind);
  const declared = known?.declared;
  if (declared === undefined) throw new TypeError(`${declaration.kind} is not declared by clients`);
  if (stored?.lifecycle !== 'live' || stored.spec === null) return { id, result: 'create', changes: [] };
  const { labels = {}, protect = false } = stored.status ?? {};
  const metadata: readonly SpecChange[] = [
    { path: 'labels', before: labels, after: declaration.labels, change: 'in place' },
    { path: 'protect', before: protect, after: declaration.protect, change: 'in place' },
  ];
  const isUnchanged = async (spec: Declaration['spec']): Promise<boolean> =>
    (await tryOne(client, { ...declaration, spec, labels, protect }, [], {})) === 'unchanged';
  const differing = specChanges(declared, stored.spec, declaration.spec);
  const shown = await withoutEqualSecrets(differing, known?.secrets ?? [], stored.spec, isUnchanged);
  const changes = [
    ...shown.map((one) => ({ ...one, path: `spec.${one.path}` })),
    ...metadata.filter(({ before, after }) => !sameJson(before, after)),
  ];
  if (changes.length === 0) return { id, result: 'unchanged', changes };
  return { id, result: changes.some(({ change }) => change === 'replace') ? 'replace' : 'update', changes };
}

export const diffDocuments = (client: PhotonClient, declarations: readonly Declaration[]): Promise<Difference[]> =>
  Promise.all(inOrder(declarations).map((declaration) => differenceOf(client, declaration)));

const signs = { create: '+', update: '~', replace: '!', unchanged: '=' } as const;

/** A line per object, and below it a line per field with its class of change. */
export function differenceText({ id, result, changes }: Difference): string {
  const said = result === 'replace' ? 'refused: a field cannot change; delete the object and create it again' : result;
  return [`${signs[result]} ${id}  ${said}`, ...changeLines(changes)].join('\n');
}
