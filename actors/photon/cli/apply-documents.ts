/**
 * `photon apply -f FILE`: makes what the documents declare, in the order of their dependencies.
 * Validation of the whole file comes first; then each object is created with a key derived from the document, so that a
 * second run, or a run after a lost answer, changes nothing twice. Nothing is pruned.
 */
import { createHash } from 'node:crypto';
import { canonicalJson } from '@photoncloud/machines/values/failures';
import { idOf } from '@photoncloud/machines/values/identifiers';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { inOrder, type Declaration } from './document-schema.ts';
import { settle } from './settled-state.ts';

export interface ApplyStep {
  readonly id: string;
  readonly result: 'created' | 'unchanged';
  readonly state: string;
  readonly tookMs: number;
}

interface Former {
  readonly uid: string;
  readonly lifecycle: 'live' | 'removed';
}

/** What stood under this name before: a deleted object's uid keeps an old receipt from answering for a new life. */
export async function formerOf(client: PhotonClient, id: string): Promise<Former | undefined> {
  try {
    return (await client.call('actor.get', { id })) as Former;
  } catch (error) {
    if (error instanceof PhotonError && error.record.code === 'not_found') return undefined;
    throw error;
  }
}

function keyOf(declaration: Declaration, former: Former | undefined): string {
  const priorUid = former === undefined ? 'first' : former.uid;
  const text = `${declaration.origin}\n${priorUid}\n${canonicalJson({ ...declaration, origin: null })}`;
  return `apply-${createHash('sha256').update(text).digest('hex').slice(0, 40)}`;
}

/** Issues of a command name its params; a person reads them in the document. */
function asInDocument(error: unknown, declaration: Declaration): unknown {
  if (!(error instanceof PhotonError)) return error;
  const { group, code, message, issues = [], ...rest } = error.record;
  const inSpec = issues.map((issue) => ({
    path: `${declaration.origin} ${issue.path.replace(/^params(\.|$)/, 'spec$1')}`,
    message: issue.message,
  }));
  return new PhotonError(group, code, message, { retryable: rest.retryable, public: true, issues: inSpec });
}

export async function applyDocuments(
  client: PhotonClient,
  declarations: readonly Declaration[],
  options: {
    readonly wait: boolean;
    readonly timeoutMs: number;
    readonly onStep: (step: ApplyStep) => void;
    readonly onWait: (text: string) => void;
  },
): Promise<void> {
  for (const declaration of inOrder(declarations)) {
    const startedAt = performance.now();
    const { kind, tenant, name, spec } = declaration;
    const id = idOf(kind, tenant, name);
    const former = await formerOf(client, id);
    options.onWait(`${id} asked for`);
    try {
      await client.call(`${kind}.create`, {
        scope: tenant,
        name,
        idempotencyKey: keyOf(declaration, former),
        params: spec,
      });
    } catch (error) {
      throw asInDocument(error, declaration);
    }
    // An image is needed whole before a machine can use it, so it is always waited for.
    const state =
      options.wait || kind === 'image'
        ? await settle(client, id, { timeoutMs: options.timeoutMs, onWait: options.onWait })
        : ((await client.call('actor.get', { id })) as { stateName: string }).stateName;
    const result = former?.lifecycle === 'live' ? 'unchanged' : 'created';
    options.onStep({ id, result, state, tookMs: performance.now() - startedAt });
  }
}
