/**
 * The text of a desired state: its form, its digest, and the check of everything that can be known without looking at
 * the cluster. A text that was checked is read again by its digest, so what is carried out is what was checked.
 */
import { issuesOfSet, type DesiredObject } from '@photoncloud/machines/deployment/desired-objects';
import { partKey, partRows } from '@photoncloud/machines/deployment/deployment-context';
import { desiredStateVersion, mostObjects } from '@photoncloud/machines/deployment/deployment-protocol';
import { partsOfId, systemTenant } from '@photoncloud/machines/values/identifiers';
import { PhotonError, type Issue } from '@photoncloud/runtime/contract/errors';
import { z } from 'zod';
import { desiredSchema, tenantOfDocument } from '../kind/documents.ts';
import type { DeployerPort } from './deployer-port.ts';

export interface Checked {
  readonly code: string;
  readonly issues: readonly Issue[];
  readonly objects: readonly DesiredObject[];
}

const stateSchema = z.strictObject({
  schemaVersion: z.literal(desiredStateVersion, {
    error: ({ input }) =>
      `is ${String(input)}, and this cluster reads ${desiredStateVersion}; write it for that version`,
  }),
  objects: z.array(z.unknown()).max(mostObjects, `has more than ${mostObjects} objects; use several deployments`),
});

const pathOf = (path: readonly PropertyKey[]): string => path.map(String).join('.');
const refused = (code: string, issues: readonly Issue[]): Checked => ({ code, issues, objects: [] });

function objectOf(value: unknown, at: number, tenant: string, issues: Issue[]): readonly DesiredObject[] {
  const parsed = desiredSchema.safeParse(value);
  if (parsed.success) {
    const object = parsed.data as unknown as DesiredObject & { readonly tenant?: string };
    const { kind, name, labels, protect, spec, deletionPolicy, movedFrom } = object;
    const of = tenantOfDocument(object, tenant) ?? tenant;
    return [{ kind, tenant: of, name, labels, protect, spec, deletionPolicy, movedFrom }];
  }
  for (const { path, message, ...issue } of parsed.error.issues) {
    const keys = issue.code === 'unrecognized_keys' ? (issue as { keys: readonly string[] }).keys : [];
    const where = pathOf(['objects', at, ...path]);
    if (keys.length === 0) issues.push({ path: where, message });
    for (const key of keys) issues.push({ path: `${where}.${key}`, message: 'is no field here; remove or correct it' });
  }
  return [];
}

/** @param deployment actor id @param tenants `all`: objects of every tenant may be declared */
export function checkText(text: string, deployment: string, tenants: 'own' | 'all'): Checked {
  const { tenant } = partsOfId(deployment);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refused('document_invalid', [
      { path: '', message: 'is not JSON; stage the canonical text of the document' },
    ]);
  }
  const state = stateSchema.safeParse(value);
  if (!state.success) {
    const issues = state.error.issues.map(({ path, message }) => ({ path: pathOf(path), message }));
    return refused(issues[0]?.path === 'schemaVersion' ? 'schema_version' : 'document_invalid', issues);
  }
  const issues: Issue[] = [];
  const objects = state.data.objects.flatMap((one, at) => objectOf(one, at, tenant, issues));
  if (issues.length > 0) return refused('document_invalid', issues);
  const ofSet = issuesOfSet(objects, tenants === 'all' && tenant === systemTenant ? null : tenant);
  return ofSet.length > 0 ? refused('document_invalid', ofSet) : { code: '', issues: [], objects };
}

const readTexts = 16;

/** Reads the texts of deployments; the last few are kept, for a text of one digest never changes. */
export class DesiredTexts {
  readonly #port: DeployerPort;
  readonly #known = new Map<string, readonly DesiredObject[]>();

  constructor(port: DeployerPort) {
    this.#port = port;
  }

  async read(deployment: string, digest: string, parts: number): Promise<string> {
    const keys = Array.from({ length: parts }, (_, at) => partKey(digest, at + 1));
    return (await this.#port.rows(deployment, partRows, keys)).join('');
  }

  /** @throws PhotonError defeat `text_spoilt` */
  async objects(
    deployment: string,
    revision: { readonly digest: string; readonly parts: number; readonly tenants: 'own' | 'all' },
  ): Promise<readonly DesiredObject[]> {
    const { digest, parts, tenants } = revision;
    const name = `${deployment} ${digest} ${tenants}`;
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const text = await this.read(deployment, digest, parts);
    const { objects, issues } = checkText(text, deployment, tenants);
    if (this.#port.digest(text) !== digest || issues.length > 0) {
      const why = `the desired state ${digest.slice(0, 12)} of ${deployment} cannot be read any more; stage it again`;
      throw new PhotonError('defeat', 'text_spoilt', why, { public: true });
    }
    this.#known.set(name, objects);
    const [oldest] = this.#known.keys();
    if (this.#known.size > readTexts && oldest !== undefined) this.#known.delete(oldest);
    return objects;
  }
}
