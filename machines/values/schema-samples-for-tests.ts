/**
 * Random values that fit a zod schema, for tests of all charts: an arbitrary is derived from the JSON Schema of the
 * spec, message or result, so that a new field is sampled without a line here. Strings without a form are actor ids or
 * words by the name of their field, because charts read ids. Numbers are small, so that two samples often agree.
 */
import fc from 'fast-check';
import { z } from 'zod';

interface JsonSchema {
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, JsonSchema>>;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly pattern?: string;
}

/** By field name, of strings that have no pattern. */
const texts: Readonly<Record<string, readonly string[]>> = {
  host: ['w1', 'w2'],
  name: ['w1', 'w2'],
  from: ['w1', 'w2'],
  tenant: ['t'],
  vpc: ['vpc/t/main', 'vpc/t/n', 'vpc/t/d'],
  network: ['network/t/n', 'network/t/m'],
  port: ['port/t/p', 'port/t/n.eth0'],
  binding: ['binding/t/p@w1', 'binding/t/n.eth0@w1'],
  vm: ['vm/t/n', 'vm/t/m'],
  vms: ['vm/t/n', 'vm/t/m'],
  volume: ['volume/t/d', 'volume/t/n'],
  snapshot: ['snapshot/t/s', 'snapshot/t/n'],
  image: ['image/t/i', 'image/t/n'],
  plan: ['plan/t/n.p1', 'plan/t/n.p2'],
  deployment: ['deployment/t/n'],
  rollout: ['rollout/t/n'],
  holder: ['vm/t/n', 'vm/t/m'],
  by: ['port/t/p', 'security-group/t/n'],
  of: ['security-group/t/n', 'address-set/t/n'],
  missing: ['security-group/t/n'],
  claimant: ['vm/t/n', 'network/t/n'],
  serviceIp: ['service-ip/t/n'],
  kind: ['vm', 'network'],
  requester: ['incarnation/t/n@w1'],
  actor: ['binding/t/p@w1'],
  cidr: ['10.0.0.0/24', '10.0.1.0/24'],
  gateway: ['10.0.0.1'],
  address: ['10.0.0.5', '10.0.0.6'],
  mac: ['02:00:00:00:00:01'],
  underlay: ['192.0.2.1', '192.0.2.2'],
  code: ['busy', 'host_gone'],
};
const words = ['x', 'y'];

/** Names of hosts, which have a pattern, are those that messages of hosts have. */
const hostFields: Readonly<Record<string, readonly string[] | undefined>> = {
  host: texts['host'],
  canary: texts['host'],
};

/** Candidates for a pattern, in order; without a match the value is generated from the pattern. */
const patterned = ['n', 'd', '10.0.0.5', '02:00:00:00:00:01', '/srv/x', 'a'.repeat(64), 'b'.repeat(64)];

function textOf({ pattern }: JsonSchema, name: string): fc.Arbitrary<string> {
  if (pattern === undefined) return fc.constantFrom(...(texts[name] ?? words));
  const form = new RegExp(pattern);
  const known = [...(hostFields[name] ?? []), ...patterned].filter((text) => form.test(text)).slice(0, 2);
  return known.length > 0 ? fc.constantFrom(...known) : fc.stringMatching(form);
}

function numberOf({ minimum = 0, maximum = Number.MAX_SAFE_INTEGER }: JsonSchema): fc.Arbitrary<number> {
  const min = Math.max(0, minimum);
  return fc.integer({ min, max: Math.min(maximum, min + 3) });
}

function objectOf(schema: JsonSchema, defs: JsonSchema['$defs']): fc.Arbitrary<object> {
  const { properties = {}, required = [], additionalProperties } = schema;
  const fields = Object.entries(properties).map(([name, one]) => [name, arbitraryOf(one, defs, name)] as const);
  const known = fc.record(Object.fromEntries(fields), { requiredKeys: [...required] });
  if (typeof additionalProperties !== 'object' || fields.length > 0) return known;
  return fc.dictionary(fc.constantFrom('a', 'network/t/n'), arbitraryOf(additionalProperties, defs, ''), {
    maxKeys: 2,
    noNullPrototype: true,
  });
}

function arbitraryOf(schema: JsonSchema, defs: JsonSchema['$defs'], name: string): fc.Arbitrary<unknown> {
  if (schema.$ref !== undefined) {
    return arbitraryOf(defs?.[schema.$ref.replace('#/$defs/', '')] ?? {}, defs, name);
  }
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map((one) => arbitraryOf(one, defs, name)));
  if (Array.isArray(schema.type)) {
    return fc.oneof(...schema.type.map((type: string) => arbitraryOf({ ...schema, type }, defs, name)));
  }
  const { items = {}, minItems = 0, maxItems = 3 } = schema;
  switch (schema.type) {
    case 'string':
      return textOf(schema, name);
    case 'integer':
    case 'number':
      return numberOf(schema);
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'array':
      return fc.array(arbitraryOf(items, defs, name), {
        minLength: minItems,
        maxLength: Math.min(maxItems, minItems + 2),
      });
    case 'object':
      return objectOf(schema, defs);
    default:
      return fc.constantFrom('x', 1, {});
  }
}

/** Values as the receiver sees them: validated, with defaults filled in. */
export function samplesOf<Schema extends z.ZodType>(schema: Schema): fc.Arbitrary<z.output<Schema>> {
  const { $defs, ...root } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
  return arbitraryOf(root, $defs, '')
    .map((value) => schema.safeParse(value))
    .filter(({ success }) => success)
    .map(({ data }) => data as z.output<Schema>);
}
