/**
 * The schema of an actor kind: the spec that clients declare, the messages that the kind takes and sends, and its
 * effects. `machines/<kind>/<kind>-protocol.ts` writes it with `defineKind`, `message`, `command` and `effect`; chart
 * events, typed senders, validation of received messages, the API, the CLI and the reference pages are derived from it.
 * Pure values; actors/kind/kind-definition.ts turns them into a definition for the runtime.
 */
import { z } from 'zod';
import type { Failure } from './failures.ts';
import type { Meta } from './requests.ts';

export type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T;

/** A value of the schema with defaults filled in, as charts store it. */
export type ValueOf<Schema extends z.ZodType> = DeepReadonly<z.output<Schema>>;

/** Named fields of a message, a command or an effect. */
export type Fields = Readonly<Record<string, z.ZodType>>;
export type FieldValues<F extends Fields> = ValueOf<z.ZodObject<F>>;

declare const checked: unique symbol;

/** An event made by the constructor of its message; only these can be sent. */
export interface SentEvent<Type extends string = string> {
  readonly type: Type;
  readonly [checked]: true;
}

/** A message between actors; calling it makes the event for `send`. */
export interface Message<Type extends string = string, F extends Fields = Fields> {
  (fields: FieldValues<F>): SentEvent<Type> & FieldValues<F>;
  readonly type: Type;
  readonly schema: z.ZodObject<F>;
  /** One sentence for the reference page. */
  readonly says: string;
}

/** @param type unique among all messages and effects of the cloud */
export function message<const Type extends string, F extends Fields>(
  type: Type,
  says: string,
  fields: F,
): Message<Type, F> {
  const make = (values: FieldValues<F>) => Object.assign({ type }, values);
  return Object.assign(make, { type, says, schema: z.object(fields) }) as unknown as Message<Type, F>;
}

/**
 * A request to the outside world, made by the entry of a state and answered by `<type>.done`, `.failed` or `.unknown`.
 */
export interface Effect<Type extends string = string, Params = unknown, Done extends Fields = Fields> {
  readonly type: Type;
  readonly says: string;
  /** Only a type, without validation: chart and performer are of the same release. */
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
  /** Overload exemption: accepted by a full node, because it may end the overload. Only for kinds with few actors. */
  readonly exemptFromOverload?: boolean;
  /** Fields of these params that only operators may set so, with what others are told. */
  readonly operatorsOnly?: (params: never) => readonly RestrictedField[];
}

export const command = <Params extends z.ZodType>(
  params: Params,
  says: string,
  rest: Partial<Omit<Command, 'params' | 'says'>> = {},
): Command<Params> => ({ params, says, permission: 'scope', ...rest });

/** Params of a command that has none. */
export const noParams = z.strictObject({});

/**
 * The effect of a changed field: applied while the object is in use, applied at its next start, or rejected because
 * only a new object can have the new value.
 */
export type ChangeClass = 'in place' | 'next start' | 'replace';

/** A field that changed, for `differences`, conditions and rejections. */
export interface SpecChange {
  /** Dotted, from the spec: `dhcp.dns`, `nics.0.network`. */
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
  readonly change: ChangeClass;
  /** Of a list: this item was added or removed, or only the order changed, and before and after are the items' keys. */
  readonly of?: 'addition' | 'removal' | 'order';
}

/** A function for a field whose class depends on the change, with a text that lists the classes. */
export interface ItemRule<Value> {
  (before: Value, after: Value, path: string): readonly SpecChange[];
  readonly says: string;
  /** Fields of an item that have a class of their own. */
  readonly fields: Readonly<Record<string, ChangeClass>>;
}

/** A field's class, or a function when the class depends on the change. */
export type ChangeRule<Value> = ChangeClass | ItemRule<Value>;

/** A field of a spec that names another object; the control API checks that it exists. */
export interface SpecReference {
  /** Dotted, from the spec. */
  readonly path: string;
  readonly kind: string;
  readonly name: string;
  /** Says why an object with this spec cannot be named here: an initrd where a kernel is needed. */
  readonly misfit?: (spec: unknown) => string | undefined;
  /**
   * Only for an object of tenant `system`: whether one with this spec lets the tenant use it. To others it does not
   * exist. Without the function the object is of the same tenant.
   */
  readonly grants?: (spec: unknown, tenant: string) => boolean;
}

/** A field whose value takes an operator. */
export interface RestrictedField {
  /** Dotted, from the spec. */
  readonly path: string;
  readonly message: string;
}

/** What a client declares. */
export interface Declared<Spec extends z.ZodObject = z.ZodObject> {
  readonly spec: Spec;
  readonly changes: { readonly [Key in keyof ValueOf<Spec>]: ChangeRule<ValueOf<Spec>[Key]> };
  /** Kinds that an object of this kind may refer to: created before it, deleted after it. */
  readonly parents: readonly string[];
  readonly references: (spec: ValueOf<Spec>) => readonly SpecReference[];
  /** Objects whose bytes it takes when it is made, beside those of `references`: it outlives them; default: none. */
  readonly madeFrom?: (spec: ValueOf<Spec>) => readonly Pick<SpecReference, 'kind' | 'name'>[];
  /** Fields of this spec that only an operator may declare so, with what a tenant is told; default: none. */
  readonly operatorsOnly?: (spec: ValueOf<Spec>) => readonly RestrictedField[];
  /** Default quota of a tenant for this kind; undefined: not counted. */
  readonly quota?: number;
  /** `tenant`: the name is that of the tenant. `vm.nic`: a name, or one derived from a VM. */
  readonly naming?: 'name' | 'tenant' | 'vm.nic';
  readonly permission?: 'scope' | 'admin';
  /** Its objects are of tenant `system` only. */
  readonly ofSystem?: boolean;
  /** Its objects may be of tenant `system`, too, which is no object and has no quota. */
  readonly inSystemToo?: boolean;
  /** Titles and values of the columns that lists show beside id and state. */
  readonly columns: Readonly<
    Record<string, (spec: ValueOf<Spec>, status: Readonly<Record<string, unknown>>) => unknown>
  >;
  /** What create, update, apply and delete do, a sentence or two each. */
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
export interface AnyDeclared extends Omit<
  Declared,
  'changes' | 'references' | 'madeFrom' | 'operatorsOnly' | 'columns'
> {
  readonly changes: Readonly<Record<string, unknown>>;
  readonly references: (spec: never) => readonly SpecReference[];
  readonly madeFrom?: (spec: never) => readonly Pick<SpecReference, 'kind' | 'name'>[];
  readonly operatorsOnly?: (spec: never) => readonly RestrictedField[];
  readonly columns: Readonly<Record<string, (spec: never, status: Readonly<Record<string, unknown>>) => unknown>>;
}

export interface KindSchema {
  readonly kind: string;
  /** Description of the kind, for its reference page. */
  readonly says: string;
  /** `sharded` on controllers, `pinned` to the host named after `@`. */
  readonly placement: 'sharded' | 'pinned';
  readonly declared?: AnyDeclared;
  /** Fields of its spec that hold a secret (sealed.ts), dotted: `seed.userData`. Only their marks are ever shown. */
  readonly secrets?: readonly string[];
  /** Commands beside those that every declared kind has. */
  readonly commands: Readonly<Record<string, Command>>;
  readonly takes: readonly AnyMessage[];
  /** The taken messages that may start an actor. */
  readonly startedBy: readonly AnyMessage[];
  /** The taken messages that the node itself sends, not an actor: membership, the composition roots. */
  readonly fromNode: readonly AnyMessage[];
  readonly sends: readonly AnyMessage[];
  readonly effects: readonly AnyEffect[];
}

/** Type-checks a schema and keeps its literal types, from which everything else is derived. */
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

/** Events of a declared kind: params of create and apply, which update may leave out. */
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

/** Every event that the chart of a kind may receive. */
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

/** The first problem, as `path: message`; undefined when the fields are valid. */
export function misfit(schema: z.ZodType, fields: unknown): string | undefined {
  const parsed = schema.safeParse(fields);
  if (parsed.success) return undefined;
  const [issue] = parsed.error.issues;
  return `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is not valid'}`;
}
