/**
 * docs/protocol.md (who sends what to whom), docs/reference/<kind>.md and docs/api.schema.json (the whole API, with the
 * params of every command), generated from the schemas of the kinds.
 * `npm run reference` writes them, a test holds them to the schemas. Pure: text from schemas.
 */
import { allKinds, declaredKinds, sendersOf } from '@photoncloud/machines/kinds';
import type {
  AnyDeclared,
  AnyEffect,
  AnyMessage,
  ChangeClass,
  ItemRule,
  KindSchema,
} from '@photoncloud/machines/values/kind';
import { schemaBundle } from '@photoncloud/runtime/control-api/schema-documents';
import { z } from 'zod';
import { createRegistry } from '../registry.ts';
import { noAgent, noDataplane, noDeployer, noHosts, noRollouts } from './no-dataplane.ts';

interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, JsonSchema>>;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly default?: unknown;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly minItems?: number;
}

/** A schema with a name of its own comes as a reference to its definition. */
function jsonOf(schema: z.ZodType): JsonSchema {
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any', reused: 'inline' }) as JsonSchema;
  return json.$defs?.[json.$ref?.split('/').at(-1) ?? ''] ?? json;
}

const unbounded = Number.MAX_SAFE_INTEGER;

function rangeOf({ minimum, maximum }: JsonSchema): string {
  const low = minimum !== undefined && minimum > -unbounded ? `${minimum}` : '';
  const high = maximum !== undefined && maximum < unbounded ? `${maximum}` : '';
  return low === '' && high === '' ? '' : ` ${low} to ${high}`.trimEnd();
}

/** `integer 1 to 64`, `text or null`, `list of {cidr, gateway?}`: one line, without defaults. */
function typeText(schema: JsonSchema, depth = 0): string {
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.enum !== undefined) return schema.enum.map((one) => `\`${String(one)}\``).join(', ');
  if (schema.anyOf !== undefined) return schema.anyOf.map((one) => typeText(one, depth)).join(' or ');
  const { type } = schema;
  if (Array.isArray(type)) return type.map((one) => typeText({ ...schema, type: one }, depth)).join(' or ');
  switch (type) {
    case 'integer':
    case 'number':
      return `${type}${rangeOf(schema)}`;
    case 'string':
      return 'text';
    case 'array':
      return `list of ${typeText(schema.items ?? {}, depth + 1)}`;
    case 'object': {
      const { properties = {}, required = [], additionalProperties } = schema;
      const fields = Object.entries(properties).map(([name]) => (required.includes(name) ? name : `${name}?`));
      if (fields.length > 0) return `{${fields.join(', ')}}`;
      return typeof additionalProperties === 'object' ? `map of ${typeText(additionalProperties, depth + 1)}` : '{}';
    }
    default:
      return typeof type === 'string' ? type : 'any';
  }
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

const table = (headings: readonly string[], rows: readonly (readonly string[])[]): string =>
  [`| ${headings.join(' | ')} |`, `|${headings.map(() => '---').join('|')}|`]
    .concat(rows.map((row) => `| ${row.map(cell).join(' | ')} |`))
    .join('\n');

/** `host: text, generation: integer`; `-` for none. */
const fieldsText = (schema: z.ZodObject): string => {
  const { properties = {}, required = [] } = jsonOf(schema);
  const fields = Object.entries(properties).map(
    ([name, field]) => `\`${name}\`${required.includes(name) ? '' : '?'}: ${typeText(field)}`,
  );
  return fields.join(', ') || '-';
};

const kindLink = (kind: string, from: 'docs' | 'reference'): string =>
  `[${kind}](${from === 'docs' ? 'reference/' : ''}${kind}.md)`;

const takersOf = (message: AnyMessage): readonly string[] =>
  allKinds.filter(({ takes }) => takes.some(({ type }) => type === message.type)).map(({ kind }) => kind);

function sendersText({ fromNode }: KindSchema, { type }: AnyMessage, from: 'docs' | 'reference'): string {
  const kinds = [...(sendersOf.get(type) ?? [])].map((kind) => kindLink(kind, from));
  return [...kinds, ...(fromNode.some((one) => one.type === type) ? ['the node'] : [])].join(', ');
}

// docs/protocol.md

function messageRows(schema: KindSchema): readonly (readonly string[])[] {
  return schema.takes.map((message) => {
    const isStart = schema.startedBy.some(({ type }) => type === message.type);
    return [
      `\`${message.type}\`${isStart ? ' \\*' : ''}`,
      sendersText(schema, message, 'docs'),
      fieldsText(message.schema),
      message.says,
    ];
  });
}

const effectRows = (effects: readonly AnyEffect[]): readonly (readonly string[])[] =>
  effects.map((effect) => [`\`${effect.type}\``, fieldsText(effect.done), effect.says]);

function protocolSection(schema: KindSchema): string {
  const { kind, says, placement, takes, effects } = schema;
  const where = placement === 'sharded' ? 'on a controller' : 'on the worker named after `@`';
  return [
    `## ${kind}`,
    `${says} Runs ${where}. [Reference](reference/${kind}.md).`,
    ...(takes.length === 0 ? [] : [table(['takes', 'from', 'fields', 'meaning'], messageRows(schema))]),
    ...(effects.length === 0 ? [] : [table(['effect', 'fields of `done`', 'what it does'], effectRows(effects))]),
  ].join('\n\n');
}

const protocolHead = `# Who sends what to whom

Generated by \`npm run reference\` from \`machines/<kind>/<kind>-protocol.ts\`. Actors communicate only by messages. A
chart sends a message with its typed constructor; the receiver validates it, and one that is not valid becomes a dead
letter \`malformed\`. A message marked \\* may start an actor. \`error\` is always \`{code, message, retryable}\`;
\`path\` names the field of a request that caused it, from its root: \`spec.subnets.0.cidr\`. An effect that fails, or
whose outcome is unknown, comes back as \`<effect>.failed\` or \`<effect>.unknown\` with \`error\`.

## Rules that every chart keeps
- A command whose answer needs another actor is deferred, and answered later. A rejected creation leaves nothing
  behind: the chart releases what was claimed, then ends.
- A sender may repeat any request to another actor, for example after a deadline: the receiver answers it again.
- A transitional state has a deadline; when it expires the state is entered again, which repeats its requests.
- A transient failure is retried after 1, 2, 4 ... 30 s. A permanent one (\`retryable: false\`) ends in a state that
  shows the reason and is left by a command or a new request.
- An effect on a fenced host fails with \`host_gone\` and is not retried: nothing runs there, kernel objects are gone,
  and files stay on its disk until the host returns.
- Deletion needs released dependencies: an object that others hold rejects its deletion with \`in_use\` and names its
  holders.
- The sender leaves an owner token's \`uid\` empty; the per-host counterpart fills in its own.`;

export const protocolPage = (): string => `${[protocolHead, ...allKinds.map(protocolSection)].join('\n\n')}\n`;

// docs/reference/<kind>.md

/** What a change of a field is, and of fields of its items that have a class of their own. */
function changeOf(rule: unknown): { readonly says: string; readonly fields: Readonly<Record<string, string>> } {
  return typeof rule === 'function'
    ? (rule as unknown as ItemRule<unknown>)
    : { says: rule as ChangeClass, fields: {} };
}

function specTable({ spec, changes }: AnyDeclared): string {
  const rows: string[][] = [];
  const add = (schema: JsonSchema, prefix: string, { says, fields }: ReturnType<typeof changeOf>): void => {
    const { properties = {}, required = [] } = schema;
    for (const [name, field] of Object.entries(properties)) {
      const path = `${prefix}${name}`;
      const of = prefix === '' ? changeOf(changes[name]) : { says: fields[name] ?? says, fields: {} };
      const absent = required.includes(name) ? 'required' : defaultText(field);
      rows.push([`\`${path}\``, typeText(field), absent, of.says, field.description ?? '']);
      const inner = innerOf(field);
      if (inner !== undefined) add(inner, `${path}${isList(field) ? '[]' : ''}.`, of);
    }
  };
  add(jsonOf(spec), '', changeOf('replace'));
  return rows.length === 0
    ? 'It has no fields of its own.'
    : table(['field', 'type', 'unless given', 'a change is', 'meaning'], rows);
}

const alternatives = (field: JsonSchema): readonly JsonSchema[] => field.anyOf ?? [field];
const isList = (field: JsonSchema): boolean => alternatives(field).some(({ type }) => type === 'array');

function innerOf(field: JsonSchema): JsonSchema | undefined {
  const candidates = alternatives(field).map((one) => (one.type === 'array' ? one.items : one));
  return candidates.find((one) => one?.properties !== undefined);
}

function defaultText({ default: value }: JsonSchema): string {
  if (value === undefined) return 'derived';
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? 'as its fields'
    : `\`${JSON.stringify(value)}\``;
}

function documentExample({ kind, declared }: KindSchema): string {
  const tenant = declared?.naming === 'tenant' ? [] : ['tenant: acme'];
  const name = declared?.naming === 'tenant' ? 'acme' : `${kind}-1`;
  return ['```yaml', `kind: ${kind}`, ...tenant, `name: ${name}`, 'labels: { tier: web }', 'spec: { ... }', '```'].join(
    '\n',
  );
}

function declaredPart(schema: KindSchema, declared: AnyDeclared): readonly string[] {
  const { parents, quota, says, permission = 'scope' } = declared;
  const who = permission === 'admin' ? 'Operators declare it.' : 'Principals of the tenant declare it.';
  const counted =
    quota === undefined
      ? 'It is not counted against a quota.'
      : `A tenant may have ${quota} unless its quota says otherwise.`;
  const after =
    parents.length === 0
      ? ''
      : ` It is made after, and deleted before: ${parents.map((one) => kindLink(one, 'reference')).join(', ')}.`;
  return [
    `${who} ${counted}${after}`,
    documentExample(schema),
    '## Spec',
    specTable(declared),
    '## Commands',
    table(
      ['command', 'params', 'what it does'],
      [
        [`\`${schema.kind}.create\``, '`spec`, `labels?`, `protect?`', says.create],
        [
          `\`${schema.kind}.update\``,
          '`spec`, `labels?`, `protect?`',
          `${says.update} A field that cannot change is rejected \`immutable_field\`.`,
        ],
        [
          `\`${schema.kind}.apply\``,
          '`spec`, `labels?`, `protect?`',
          'Creates it, or updates it, or answers `unchanged`.',
        ],
        [`\`${schema.kind}.delete\``, '-', `${says.delete} Rejected \`protected\` while protect is set.`],
        ...commandRows(schema),
      ],
    ),
    [
      'Status: `generation` grows with each accepted spec, `observedGeneration` is the one that is realized and',
      'proven; `conditions` are `{type, status, reason, message, since}` with at least `Ready`.',
    ].join('\n'),
  ];
}

const commandRows = ({ kind, commands }: KindSchema): readonly (readonly string[])[] =>
  Object.entries(commands).map(([name, { params, says, permission }]) => [
    `\`${kind}.${name}\``,
    params instanceof z.ZodObject ? fieldsText(params) : '-',
    permission === 'admin' ? `${says} For operators.` : says,
  ]);

const lives = { sharded: 'Runs on a controller.', pinned: 'Runs on the worker named after `@`.' };

export function referencePage(schema: KindSchema): string {
  const { kind, says, placement, declared, takes, sends, effects } = schema;
  const extra = commandRows(schema);
  const parts = [
    `# ${kind}`,
    `Generated by \`npm run reference\` from [${kind}-protocol.ts](../../machines/${kind}/${kind}-protocol.ts).`,
    `${says} ${lives[placement]} [Chart](../charts/${kind}.md).`,
    ...(declared === undefined ? [] : declaredPart(schema, declared)),
    ...(declared !== undefined || extra.length === 0
      ? []
      : ['## Commands', table(['command', 'params', 'what it does'], extra)]),
    ...(takes.length === 0
      ? []
      : [
          '## Takes',
          table(
            ['message', 'from', 'fields', 'meaning'],
            takes.map((one) => [
              `\`${one.type}\``,
              sendersText(schema, one, 'reference'),
              fieldsText(one.schema),
              one.says,
            ]),
          ),
        ]),
    ...(sends.length === 0
      ? []
      : [
          '## Sends',
          table(
            ['message', 'to', 'fields', 'meaning'],
            sends.map((one) => [
              `\`${one.type}\``,
              takersOf(one)
                .map((taker) => kindLink(taker, 'reference'))
                .join(', '),
              fieldsText(one.schema),
              one.says,
            ]),
          ),
        ]),
    ...(effects.length === 0
      ? []
      : ['## Effects', table(['effect', 'fields of `done`', 'what it does'], effectRows(effects))]),
  ];
  return `${parts.join('\n\n')}\n`;
}

/** Path below docs -> text. */
export function allPages(): ReadonlyMap<string, string> {
  const index = [
    '# Kinds',
    'Generated by `npm run reference`. Declared by clients, in the order in which `photon apply` makes them:',
    table(
      ['kind', 'what it is'],
      declaredKinds.map(({ kind, says }) => [kindLink(kind, 'reference'), says]),
    ),
    'Made by other actors:',
    table(
      ['kind', 'what it is'],
      allKinds
        .filter(({ declared }) => declared === undefined)
        .map(({ kind, says }) => [kindLink(kind, 'reference'), says]),
    ),
  ].join('\n\n');
  const registry = createRegistry(noDataplane, noAgent, noHosts, noDeployer, noRollouts);
  return new Map([
    ['protocol.md', protocolPage()],
    ['api.schema.json', `${JSON.stringify(schemaBundle(registry), null, 1)}\n`],
    ['reference/README.md', `${index}\n`],
    ...allKinds.map((schema): [string, string] => [`reference/${schema.kind}.md`, referencePage(schema)]),
  ]);
}
