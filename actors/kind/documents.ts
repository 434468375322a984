/**
 * The schemas of documents: one object as `photon apply -f` takes it, and one of the desired state of a deployment,
 * which also says what becomes of the object later. Derived from the kinds; unknown fields are refused with their path.
 */
import { declaredKinds } from '@photoncloud/machines/kinds';
import { nameSchema, portNameSchema, systemTenant } from '@photoncloud/machines/values/identifiers';
import type { AnyDeclared, KindSchema } from '@photoncloud/machines/values/kind';
import { z } from 'zod';
import { declarationParams } from './kind-definition.ts';

const apiVersion = z.literal('photon.v1').default('photon.v1');

const declaredOf = ({ kind, declared }: KindSchema): AnyDeclared => {
  if (declared === undefined) throw new TypeError(`${kind} is not declared by clients`);
  return declared;
};

/** A tenant is named by its own name, and objects of tenant `system` need not say so. */
const tenantField = ({ naming, ofSystem }: AnyDeclared) =>
  naming === 'tenant' ? {} : { tenant: ofSystem === true ? z.literal(systemTenant).optional() : nameSchema.optional() };

const ofSystemOnly: ReadonlySet<string> = new Set(
  declaredKinds.filter(({ declared }) => declared?.ofSystem === true).map(({ kind }) => kind),
);

const nameOf = ({ naming }: AnyDeclared) => (naming === 'vm.nic' ? portNameSchema : nameSchema);

function documentOf(schema: KindSchema) {
  const declared = declaredOf(schema);
  const { spec, labels, protect } = declarationParams(declared).whole.shape;
  return z.strictObject({
    apiVersion,
    kind: z.literal(schema.kind),
    ...tenantField(declared),
    name: nameOf(declared),
    labels,
    protect,
    spec,
  });
}

const desiredOf = (schema: KindSchema) =>
  documentOf(schema).extend({
    deletionPolicy: z
      .enum(['delete', 'retain'])
      .default('delete')
      .describe('What becomes of it once it is not declared any more: `retain` leaves it as it is.'),
    movedFrom: nameOf(declaredOf(schema))
      .nullable()
      .default(null)
      .describe('Its name until now: the object of that name is deleted once this one is there.'),
  });

const unionOf = <Document extends ReturnType<typeof documentOf>>(make: (schema: KindSchema) => Document) => {
  const [first, ...others] = declaredKinds.map(make);
  if (first === undefined) throw new TypeError('no kind is declared by clients');
  return z.discriminatedUnion('kind', [first, ...others]);
};

export const documentSchema = unionOf(documentOf).meta({ id: 'PhotonDocument' });
export const desiredSchema = unionOf(desiredOf as unknown as typeof documentOf).meta({ id: 'DesiredObject' });

/** The tenant of a document: its own, its name, or that of the file. */
export function tenantOfDocument(
  { kind, name, tenant }: { readonly kind: string; readonly name: string; readonly tenant?: string | undefined },
  given: string | undefined,
): string | undefined {
  if (kind === 'tenant') return name;
  return ofSystemOnly.has(kind) ? systemTenant : (tenant ?? given);
}
