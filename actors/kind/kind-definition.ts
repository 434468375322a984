/**
 * Combines the schema of a kind (machines/<kind>/<kind>-protocol.ts) with chart version, performers, rows and status to
 * the definition that the runtime hosts: commands of the API, validation of received messages, who may start an actor,
 * and the shape that the schema hash covers. Called by every actors/<kind>/<kind>-actor.ts.
 */
import { idOf, partsOfId, systemTenant, tenantId } from '@photoncloud/machines/values/identifiers';
import { reasonOf } from '@photoncloud/machines/values/conditions';
import { type DeclaredContext } from '@photoncloud/machines/values/declared';
import { masked } from '@photoncloud/machines/values/sealed';
import {
  misfit,
  noParams,
  type AnyDeclared,
  type Effect,
  type FieldValues,
  type KindSchema,
} from '@photoncloud/machines/values/kind';
import type { ActorDefinition, CommandDefinition, Reference } from '@photoncloud/runtime/contract/actor-definition';
import type { EffectBinding, EffectContext } from '@photoncloud/runtime/contract/effect';
import { actorId, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import { done } from '@photoncloud/runtime/contract/outcome';
import { z } from 'zod';

/** Performs one effect: resolves with the fields of `done`, or throws a PhotonError. */
export interface Performer {
  readonly timeoutMs: number | null;
  /** Places of its own, for work of minutes: see EffectBinding. */
  readonly pool?: string;
  readonly perform: (params: never, call: EffectContext) => Promise<Readonly<Record<string, unknown>>>;
}

/** The performers of a kind's effects, by effect type. */
export type PerformersOf<Schema extends { readonly effects: readonly unknown[] }> = {
  readonly [E in Schema['effects'][number] as E extends Effect<infer Type> ? Type : never]: E extends Effect<
    string,
    infer Params,
    infer Done
  >
    ? {
        readonly timeoutMs: number | null;
        readonly pool?: string;
        readonly perform: (params: Params, call: EffectContext) => Promise<FieldValues<Done>>;
      }
    : never;
};

export interface ActorParts extends Pick<
  ActorDefinition,
  | 'chartVersion'
  | 'machine'
  | 'upgrades'
  | 'needs'
  | 'ignored'
  | 'durability'
  | 'historyTail'
  | 'output'
  | 'figures'
  | 'facts'
  | 'intake'
> {
  readonly performers?: Readonly<Record<string, Performer>>;
  /** The status; for a declared kind, the fields beside those that all declared kinds have. */
  readonly status: (context: never) => Readonly<Record<string, unknown>>;
  /** Fields of the status that only operators see: hosts, and what is read from their kernels. */
  readonly operatorOnly?: readonly string[];
  /** The spec of a kind that is not declared: its last request. */
  readonly spec?: (context: never) => unknown;
  /** Why the actor is not as it should be; default: its failure, or what its condition `Ready` says. */
  readonly reason?: (context: never) => string | null;
}

const labelName = /^[a-z0-9](?:[a-z0-9./_-]{0,61}[a-z0-9])?$/;
const labels = z
  .record(z.string().regex(labelName, 'must be 1 to 63 characters: a-z, 0-9 and inner . / _ -'), z.string().max(63))
  .refine((all) => Object.keys(all).length <= 32, 'at most 32 labels')
  .describe('Names and values for selectors, at most 32.');
const protect = z.boolean().describe('Deletion is rejected while this is true.');

const isWhole = (spec: z.ZodType): boolean => spec.safeParse({}).success;

/** Params of create, update and apply. A spec whose every field has a default may be left out. */
export function declarationParams({ spec }: AnyDeclared) {
  const given = isWhole(spec) ? spec.prefault({}) : spec;
  return {
    whole: z.strictObject({ spec: given, labels: labels.default({}), protect: protect.default(false) }),
    changed: z.strictObject({ spec: given, labels: labels.optional(), protect: protect.optional() }),
  };
}

function referencesOf(declared: AnyDeclared): NonNullable<CommandDefinition['references']> {
  return ({ spec }: { readonly spec: never }, id: ActorId): Reference[] => {
    const { tenant } = partsOfId(id);
    const isOwned = declared.parents.includes('tenant') && !(declared.inSystemToo === true && tenant === systemTenant);
    const owner = isOwned ? [{ path: 'tenant', to: actorId(tenantId(tenant)) }] : [];
    const named = declared.references(spec).map(({ path, kind, name, misfit: judge, grants }) => ({
      path: `spec.${path}`,
      to: actorId(idOf(kind, grants === undefined ? tenant : systemTenant, name)),
      ...(judge === undefined ? {} : { misfit: judge }),
      ...(grants === undefined ? {} : { grants }),
    }));
    // An object may name itself before it exists.
    return [...owner, ...named.filter(({ to }) => to !== id)];
  };
}

function declaredCommands(declared: AnyDeclared, secret: readonly string[]) {
  const { whole, changed } = declarationParams(declared);
  const permission = declared.permission ?? 'scope';
  const operatorsOnly = ({ spec }: { readonly spec: never }) =>
    (declared.operatorsOnly?.(spec) ?? []).map(({ path, message }) => ({ path: `spec.${path}`, message }));
  const given = {
    permission,
    references: referencesOf(declared),
    operatorsOnly,
    ...(secret.length === 0 ? {} : { secrets: secret.map((path) => `spec.${path}`) }),
  };
  const { create, update, delete: remove } = declared.says;
  return {
    create: { params: whole, ...given, creates: true, description: create },
    update: { params: changed, ...given, description: `${update} The whole spec must be given.` },
    apply: {
      params: whole,
      ...given,
      creates: true,
      description: `Creates it, or updates it. ${update}`,
    },
    delete: { params: noParams, permission, description: remove },
  } satisfies Readonly<Record<string, CommandDefinition>>;
}

const extraCommands = ({ commands }: KindSchema): Readonly<Record<string, CommandDefinition>> =>
  Object.fromEntries(
    Object.entries(commands).map(([name, { says, ...rest }]) => [name, { ...rest, description: says }]),
  );

const binding = ({ timeoutMs, pool, perform }: Performer): EffectBinding => ({
  timeoutMs,
  ...(pool === undefined ? {} : { pool }),
  perform: async (params: never, call: EffectContext) => done({ ...(await perform(params, call)) }),
});

const wording = new Set(['$schema', 'id', 'description', 'default']);

/** The spec's fields as text, without descriptions: part of the schema hash (runtime/hosting/schema-hash.ts). */
const shapeOf = ({ spec }: AnyDeclared): string =>
  JSON.stringify(z.toJSONSchema(spec, { unrepresentable: 'any' }), (key, value: unknown) =>
    wording.has(key) && typeof value !== 'object' ? undefined : value,
  );

function viewOf(schema: KindSchema, { spec, status, reason = reasonOf }: ActorParts): ActorDefinition['view'] {
  const shown = schema.secrets === undefined ? <T>(value: T): T => value : masked;
  if (schema.declared === undefined) {
    return (context: never) => ({
      spec: shown(spec?.(context) ?? {}),
      status: status(context),
      reason: reason(context),
    });
  }
  return (context: never) => {
    const of = context as DeclaredContext<unknown>;
    const { uid, generation, observedGeneration, labels: named, protect: isProtected, conditions, failure } = of;
    const { managedBy = null } = of;
    const all = { uid, generation, observedGeneration, labels: named, protect: isProtected, managedBy, conditions };
    return { spec: shown(of.spec), status: { ...all, ...status(context), failure }, reason: reason(context) };
  };
}

/** Fields are left out, not emptied, so that nobody takes one for a fact. */
const withoutFields =
  (fields: readonly string[]): NonNullable<ActorDefinition['forScope']> =>
  ({ status, ...rest }) => {
    const shown = Object.entries(status as object).filter(([name]) => !fields.includes(name));
    return { ...rest, status: Object.fromEntries(shown) };
  };

/** @returns the definition; a kind whose effects lack a performer is refused by the runtime at its first start */
export function defineActor(schema: KindSchema, parts: ActorParts): ActorDefinition {
  const { kind, placement, declared, takes, startedBy, effects, secrets } = schema;
  const { performers = {}, status: _, spec: __, reason: ___, operatorOnly, ...rest } = parts;
  const messages = new Map(takes.map((message) => [message.type, message.schema]));
  const results = new Map(effects.map((effect) => [effect.type, effect.done]));
  return {
    ...rest,
    kind,
    placement,
    ...(declared?.ofSystem === true ? { scope: systemTenant } : {}),
    input: (id) => ({ id }),
    commands: {
      ...(declared === undefined ? {} : declaredCommands(declared, secrets ?? [])),
      ...extraCommands(schema),
    },
    createdBy: startedBy.map(({ type }) => type),
    effects: Object.fromEntries(Object.entries(performers).map(([type, performer]) => [type, binding(performer)])),
    view: viewOf(schema, parts),
    ...(secrets === undefined ? {} : { masked }),
    ...(operatorOnly === undefined ? {} : { forScope: withoutFields(operatorOnly) }),
    ...(declared === undefined ? {} : { specShape: shapeOf(declared) }),
    check: (event) => {
      const known = messages.get(event.type);
      return known === undefined ? undefined : misfit(known, event);
    },
    checkOutcome: (type, payload) => {
      const known = results.get(type);
      return known === undefined ? undefined : misfit(known, payload);
    },
  };
}
