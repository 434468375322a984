/**
 * The one schema of an actor kind: what a client may declare, which messages the kind takes and sends, which effects it
 * asks for. `machines/<kind>/<kind>-protocol.ts` says it with `defineKind`, `message`, `command` and `effect`; events
 * of the chart, typed senders, the check at the receiving door, the API, the CLI and the reference pages are derived.
 * Pure values; what the runtime makes of them is actors/kind/kind-definition.ts.
 */
import { z } from 'zod';
import type { Failure } from './failures.ts';
import type { Meta } from './requests.ts';

export type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T;

/** The value a schema admits, with its defaults filled in, as charts keep it. */
export type ValueOf<Schema extends z.ZodType> = DeepReadonly<z.output<Schema>>;

/** Named fields of a message, a command or an effect. */
export type Fields = Readonly<Record<string, z.ZodType>>;
export type FieldValues<F extends Fields> = ValueOf<z.ZodObject<F>>;

declare const checked: unique symbol;

/** An event made by the constructor of its message: only such a one can be sent. */
export interface SentEvent<Type extends string = string> {
  readonly type: Type;
  readonly [checked]: true;
}

/** A message between actors: calling it makes the event that `send` takes. */
export interface Message<Type extends string = string, F extends Fields = Fields> {
  (fields: FieldValues<F>): SentEvent<Type> & FieldValues<F>;
  readonly type: Type;
  readonly schema: z.ZodObject<F>;
  /** One sentence for the reference page. */
  readonly says: string;
}

/** @param type one literal for one shape, in the whole cloud: no effect and no other message has it */
export function message<const Type extends string, F extends Fields>(
  type: Type,
  says: string,
  fields: F,
): Message<Type, F> {
  const make = (values: FieldValues<F>) => Object.assign({ type }, values);
  return Object.assign(make, { type, says, schema: z.object(fields) }) as unknown as Message<Type, F>;
}

/** A request to the world: asked for on entry of a state, answered by `<type>.done`, `.failed` or `.unknown`. */
export interface Effect<Type extends string = string, Params = unknown, Done extends Fields = Fields> {
  readonly type: Type;
  readonly says: string;
  /** Only a type: params are made by the chart and read by the performer of the same release. */
  readonly params?: Params;
  /** Fields of `<type>.done`; the other two results carry a `Failure` as `error`. */
  readonly done: z.ZodObject<Done>;
}

/**
 * `effect<Params>()(type, says, done)`: the params are named first because TypeScript infers all type arguments or
 * none.
 */
export const effect =
  <Params>() =>
  <const Type extends string, Done extends Fields>(
    type: Type,
    says: string,
    done: Done,
  ): Effect<Type, Params, Done> => ({
    type,
    says,
    done: z.object(done),
  });

export interface Command<Params extends z.ZodType = z.ZodType> {
  readonly params: Params;
  /** `scope`: any principal of the tenant. `admin`: operators only. */
  readonly permission: 'scope' | 'admin';
  readonly says: string;
  /** May start an actor that does not exist. */
  readonly creates?: boolean;
  /** Taken by a node that is full, because it may end what fills the node. Only for kinds with few actors. */
  readonly exemptFromOverload?: boolean;
}

export const command = <Params extends z.ZodType>(
  params: Params,
  says: string,
  rest: Partial<Omit<Command, 'params' | 'says'>> = {},
): Command<Params> => ({ params, says, permission: 'scope', ...rest });

/** Params of a command that has none. */
export const noParams = z.strictObject({});

/**
 * What a changed field of a spec means: done while the object is in use, done when it next starts, or refused because
 * only another object can have the new value.
 */
export type ChangeClass = 'in place' | 'next start' | 'replace';

/** A field that changed, for `differences`, conditions and rejections. */
export interface SpecChange {
  /** Dotted, from the spec: `dhcp.dns`, `nics.0.network`. */
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
  readonly change: ChangeClass;
}

/**
 * A function for a field whose class depends on what changed in it; it says in words which change is of which class.
 */
export interface ItemRule<Value> {
  (before: Value, after: Value, path: string): readonly SpecChange[];
  readonly says: string;
}

/** A field's class, or a function for a field whose class depends on what changed in it. */
export type ChangeRule<Value> = ChangeClass | ItemRule<Value>;

/** A field of a spec that names another object of the same tenant; the door checks that it exists. */
export interface SpecReference {
  /** Dotted, from the spec. */
  readonly path: string;
  readonly kind: string;
  readonly name: string;
}

/** What a client declares. */
export interface Declared<Spec extends z.ZodObject = z.ZodObject> {
  readonly spec: Spec;
  readonly changes: { readonly [Key in keyof ValueOf<Spec>]: ChangeRule<ValueOf<Spec>[Key]> };
  /** Kinds that an object of this kind may refer to: made before it, deleted after it. */
  readonly parents: readonly string[];
  readonly references: (spec: ValueOf<Spec>) => readonly SpecReference[];
  /** How many of it a tenant may have unless its quota says otherwise; undefined: not counted. */
  readonly quota?: number;
  /** `tenant`: its name is the tenant's own. `vm.nic`: a name, or one derived from a VM. */
  readonly naming?: 'name' | 'tenant' | 'vm.nic';
  readonly permission?: 'scope' | 'admin';
  /** Titles and values of the columns that lists show beside id and state. */
  readonly columns: Readonly<
    Record<string, (spec: ValueOf<Spec>, status: Readonly<Record<string, unknown>>) => unknown>
  >;
  /** What create, update, apply and delete come to, a sentence each. */
  readonly says: { readonly create: string; readonly update: string; readonly delete: string };
}

export const declare = <Spec extends z.ZodObject>(spec: Spec, rest: Omit<Declared<Spec>, 'spec'>): Declared<Spec> => ({
  spec,
  ...rest,
});

/** A message, whatever its fields. */
export interface AnyMessage {
  readonly type: string;
  readonly says: string;
  readonly schema: z.ZodObject;
}

/** An effect, whatever its params and results. */
export interface AnyEffect {
  readonly type: string;
  readonly says: string;
  readonly done: z.ZodObject;
}

/** A declaration, whatever its spec. */
export interface AnyDeclared extends Omit<Declared, 'changes' | 'references' | 'columns'> {
  readonly changes: Readonly<Record<string, unknown>>;
  readonly references: (spec: never) => readonly SpecReference[];
  readonly columns: Readonly<Record<string, (spec: never, status: Readonly<Record<string, unknown>>) => unknown>>;
}

export interface KindSchema {
  readonly kind: string;
  /** What an actor of this kind is, for its reference page. */
  readonly says: string;
  /** `sharded` on controllers, `pinned` to the host named after `@`. */
  readonly placement: 'sharded' | 'pinned';
  readonly declared?: AnyDeclared;
  /** Commands beside those that every declared kind has. */
  readonly commands: Readonly<Record<string, Command>>;
  readonly takes: readonly AnyMessage[];
  /** Of those taken, the ones that may start an actor. */
  readonly startedBy: readonly AnyMessage[];
  /** Taken from the node itself, not from an actor: membership, the composition roots. */
  readonly fromNode: readonly AnyMessage[];
  readonly sends: readonly AnyMessage[];
  readonly effects: readonly AnyEffect[];
}

/** Checks the form and keeps every type as written, so that everything else can be derived from it. */
export const defineKind = <const Schema extends KindSchema>(schema: Schema): Schema => schema;

type MessageEventOf<M> =
  M extends Message<infer Type, infer F> ? { readonly type: Type; readonly meta: Meta } & FieldValues<F> : never;

type EffectEventOf<E> =
  E extends Effect<infer Type, infer _, infer Done>
    ? | ({ readonly type: `${Type}.done`; readonly meta: Meta } & FieldValues<Done>)
      | { readonly type: `${Type}.failed`; readonly error: Failure; readonly meta: Meta }
      | { readonly type: `${Type}.unknown`; readonly error: Failure; readonly meta: Meta }
    : never;

/** Zod gives an empty object an index signature, which would forbid every other field beside it. */
type Named<Values> = string extends keyof Values ? unknown : Values;

type CommandEventOf<Kind extends string, Commands> = {
  readonly [Name in keyof Commands & string]: Commands[Name] extends Command<infer Params>
    ? { readonly type: `${Kind}.${Name}`; readonly meta: Meta } & Named<ValueOf<Params>>
    : never;
}[keyof Commands & string];

/** Of a declared kind: what create and apply carry, and what update may leave out. */
export interface Declaration<Spec> {
  readonly spec: Spec;
  readonly labels: Readonly<Record<string, string>>;
  readonly protect: boolean;
}
type DeclaredEventOf<Kind extends string, D> =
  D extends Declared<infer Spec>
    ? | ({ readonly type: `${Kind}.create`; readonly meta: Meta } & Declaration<ValueOf<Spec>>)
      | ({ readonly type: `${Kind}.apply`; readonly meta: Meta } & Declaration<ValueOf<Spec>>)
      | ({ readonly type: `${Kind}.update`; readonly meta: Meta } & Pick<Declaration<ValueOf<Spec>>, 'spec'> &
          Partial<Omit<Declaration<unknown>, 'spec'>>)
      | { readonly type: `${Kind}.delete`; readonly meta: Meta }
    : never;

/** Every event the chart of a kind may see. */
export type EventOf<
  Schema extends { readonly kind: string; readonly takes: readonly unknown[]; readonly effects: readonly unknown[] },
> =
  | MessageEventOf<Schema['takes'][number]>
  | EffectEventOf<Schema['effects'][number]>
  | (Schema extends { readonly commands: infer Commands } ? CommandEventOf<Schema['kind'], Commands> : never)
  | (Schema extends { readonly declared: infer D } ? DeclaredEventOf<Schema['kind'], D> : never);

/** The spec of a declared kind, as its chart keeps it. */
export type SpecOf<Schema> = Schema extends { readonly declared: Declared<infer Spec> } ? ValueOf<Spec> : never;

type EffectActions<E> = {
  readonly [Type in E extends Effect<infer T> ? T : never]: (_: unknown, params: ParamsOf<E, Type>) => void;
};
type ParamsOf<E, Type> = E extends Effect<Type & string, infer Params> ? Params : never;

/** The effects of a kind as named actions for `setup`: recorded, never done by the chart. */
export function effectActions<Schema extends { readonly effects: readonly AnyEffect[] }>(
  schema: Schema,
): EffectActions<Schema['effects'][number]> {
  const record = (): void => {};
  return Object.fromEntries(schema.effects.map(({ type }) => [type, record])) as never;
}

/**
 * A problem of the first field that does not fit, as `path: message`; undefined when the fields are what they must be.
 */
export function misfit(schema: z.ZodType, fields: unknown): string | undefined {
  const parsed = schema.safeParse(fields);
  if (parsed.success) return undefined;
  const [issue] = parsed.error.issues;
  return `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'does not fit'}`;
}
