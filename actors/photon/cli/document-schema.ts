/**
 * Declarative documents: what `photon apply -f` takes, as YAML or JSON. One document declares one object; its spec is
 * the params of that kind's create command, so there is one schema for both. Unknown fields are refused with their
 * path.
 */
import { readFileSync } from 'node:fs';
import { nameSchema, portNameSchema } from '@photoncloud/machines/values/identifiers';
import { PhotonError, describeCause, reject, type Issue } from '@photoncloud/runtime/contract/errors';
import { issuesOf } from '@photoncloud/runtime/control-api/api-problem';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { imageCreateParams } from '../../image/image-commands.ts';
import { networkCommands } from '../../network/network-commands.ts';
import { portCommands } from '../../port/port-commands.ts';
import { tenantCommands } from '../../tenant/tenant-commands.ts';
import { vmCreateParams } from '../../vm/vm-commands.ts';
import { volumeCreateParams } from '../../volume/volume-commands.ts';
import { vpcCommands } from '../../vpc/vpc-commands.ts';

const createParams = (commands: Readonly<Record<string, { readonly params: z.ZodType }>>): z.ZodType => {
  const create = commands['create'];
  if (create === undefined) throw new TypeError('a declared kind has no create command');
  return create.params;
};

const apiVersion = z.literal('photon.v1').default('photon.v1');

/** Kinds in the order they are made; they are deleted in the reverse order. */
export const declaredKinds = ['tenant', 'vpc', 'network', 'image', 'volume', 'port', 'vm'] as const;
export type DeclaredKind = (typeof declaredKinds)[number];

const scoped = <Kind extends string>(kind: Kind, name: z.ZodType<string>, spec: z.ZodType) =>
  z.strictObject({ apiVersion, kind: z.literal(kind), tenant: nameSchema, name, spec });

export const documentSchema = z
  .discriminatedUnion('kind', [
    z.strictObject({
      apiVersion,
      kind: z.literal('tenant'),
      name: nameSchema,
      spec: createParams(tenantCommands).default({}),
    }),
    scoped('vpc', nameSchema, createParams(vpcCommands).default({})),
    scoped('network', nameSchema, createParams(networkCommands)),
    scoped('image', nameSchema, imageCreateParams),
    scoped('volume', nameSchema, volumeCreateParams),
    scoped('port', portNameSchema, createParams(portCommands)),
    scoped('vm', nameSchema, vmCreateParams),
  ])
  .meta({ id: 'PhotonDocument' });

export interface Declaration {
  readonly kind: DeclaredKind;
  readonly tenant: string;
  readonly name: string;
  readonly spec: Readonly<Record<string, unknown>>;
  /** Where it stands, for messages: `tenant.yaml#3`. */
  readonly origin: string;
}

function textOf(path: string): string {
  try {
    return readFileSync(path === '-' ? 0 : path, 'utf8');
  } catch (error) {
    throw reject(
      'file_unreadable',
      `${path} cannot be read (${describeCause(error)}); name a file of documents with -f`,
    );
  }
}

/**
 * Reads and validates a whole file before anything is done with it.
 * @throws rejection `document_invalid` whose issues name document, path and reason; `file_unreadable`
 */
export function readDocuments(path: string): Declaration[] {
  const text = textOf(path);
  const issues: Issue[] = [];
  const declarations: Declaration[] = [];
  parseAllDocuments(text, { uniqueKeys: true }).forEach((parsed, at) => {
    const origin = `${path}#${at + 1}`;
    if (parsed.errors.length > 0) {
      issues.push(
        ...parsed.errors.map(({ message }) => ({ path: origin, message: message.split(/:?\n/)[0] ?? 'is no YAML' })),
      );
      return;
    }
    // maxAliasCount bounds what a small document can blow up to.
    const value: unknown = parsed.toJS({ maxAliasCount: 20 });
    if (value === null) return;
    const checked = documentSchema.safeParse(value);
    if (!checked.success) {
      issues.push(
        ...issuesOf(checked.error).map(({ path: field, message }) => ({
          path: `${origin} ${field}`.trimEnd(),
          message,
        })),
      );
      return;
    }
    const { kind, name, spec } = checked.data;
    const tenant = checked.data.kind === 'tenant' ? name : checked.data.tenant;
    declarations.push({ kind, tenant, name, spec: spec as Record<string, unknown>, origin });
  });
  if (issues.length > 0) {
    throw new PhotonError('rejection', 'document_invalid', `${path} is not applied; nothing was changed`, { issues });
  }
  return declarations;
}

/** Kinds in their order, documents of one kind as written. */
export function inOrder(declarations: readonly Declaration[]): Declaration[] {
  const rank = ({ kind }: Declaration): number => declaredKinds.indexOf(kind);
  return [...declarations].sort((a, b) => rank(a) - rank(b));
}
