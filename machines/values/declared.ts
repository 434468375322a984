/**
 * What all declared objects share: create, update, apply and delete; a generation per accepted spec and the realized
 * one; conditions, labels and protection; quota; deferred commands. A chart adds only what its kind needs: it spreads
 * `declaredKit(...).actions` and `.guards` into `setup` and the rules below into the `on` of its states. Upholds: an
 * equal declaration is answered `unchanged`; a field that cannot change is rejected with its path, both values and the
 * next step; every deferred command is answered, also when the object ends.
 */
import { assign, type ActionArgs, type EventObject } from 'xstate';
import { withCondition, type Condition, type ConditionParams } from './conditions.ts';
import { canonicalJson, failureOf, sameJson, type Failure } from './failures.ts';
import { partsOfId, tenantId } from './identifiers.ts';
import type { AnyDeclared, KindSchema, SpecChange } from './kind.ts';
import { keepsOwner, managedAfter, type Managed } from './ownership.ts';
import type { Meta } from './requests.ts';
import { act, defer, reject, rejectFor, reply, send, tell, type Asked, type Issue, type Seen } from './telling.ts';
import { quotaClaim, quotaRelease } from './quota.ts';
import { masked } from './sealed.ts';
import { specChanges } from './spec-changes.ts';

/** A deferred command and the result that its answer will have. */
export interface Waiter {
  readonly commandId: string;
  readonly result: 'created' | 'updated' | 'unchanged' | 'deleted';
}

export interface DeclaredContext<Spec> extends Managed {
  readonly id: string;
  readonly uid: string;
  /** The newest accepted spec; null before the first. */
  readonly spec: Spec | null;
  /** Grows by one with every accepted spec. */
  readonly generation: number;
  /** The generation that is realized and proven. */
  readonly observedGeneration: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Deletion is refused while it is set. */
  readonly protect: boolean;
  readonly conditions: readonly Condition[];
  readonly waiters: readonly Waiter[];
  /** Failures in a row, for the backoff. */
  readonly tries: number;
  readonly failure: Failure | null;
}

export const newDeclared = (id: string) =>
  ({
    id,
    uid: '',
    spec: null,
    generation: 0,
    observedGeneration: 0,
    labels: {},
    protect: false,
    conditions: [],
    waiters: [],
    tries: 0,
    failure: null,
  }) as const satisfies DeclaredContext<never>;

interface DeclaringEvent<Spec> {
  readonly spec: Spec;
  readonly labels?: Readonly<Record<string, string>>;
  readonly protect?: boolean;
}

const shown = (value: unknown): string => canonicalJson(masked(value));

function refusalOf({ before, after, of }: SpecChange): string {
  if (of === 'removal') return `is ${shown(before)} and cannot be removed`;
  if (of === 'order') return `has the order ${shown(before)}, which cannot become ${shown(after)}`;
  return `is ${shown(before)} and cannot become ${shown(after)}`;
}

const issueOf = (change: SpecChange): Issue => ({ path: `spec.${change.path}`, message: refusalOf(change) });

/** Entry action that sets the condition `Ready` of a state. A failure in the context becomes its message. */
export const ready = <const Status extends Condition['status']>(status: Status, reason: string) =>
  ({ type: 'setCondition', params: { status, reason } }) as const;

// The kit

export interface KitOptions<Spec, C> {
  /** Fields of an answer beside `uid`, `generation` and `result`. */
  readonly result?: (context: C) => object;
  /** Problems of a spec that its schema cannot express, such as overlapping CIDRs. */
  readonly problems?: (spec: Spec) => readonly (Issue & { readonly code: string })[];
}

type Declaring<E> = E & EventObject & { readonly meta: Meta };
/** The context of a declared object and the event that it receives. */
type KitAt<C, E> = Seen<C, Declaring<E>>;

const commandOf = ({ event }: { readonly event: { readonly meta: Meta } }): string | undefined => event.meta.commandId;

/** Turns pure functions of the kit into actions with the types of the chart that uses them. */
function actionsFor<C extends { readonly id: string }, E extends EventObject>() {
  type At = KitAt<C, E>;
  const change = (compute: (at: At) => Partial<C>) =>
    assign(({ context, event }) => compute({ context, event } as unknown as At)) as unknown as (
      args: ActionArgs<C, E, E>,
      params: undefined,
    ) => void;
  const say = (compute: (at: At) => readonly Asked[]) => tell<C, E>(compute as never);
  const changeAndSay = (compute: (at: At) => { readonly changes: object; readonly asks: readonly Asked[] }) =>
    act<C, E>(compute as never);
  /** Rejects a command. A message is not answered: its sender repeats it. */
  const refuse = (code: string, text: (context: C) => string, issues?: (at: At) => readonly Issue[]) =>
    say((at) => {
      if (commandOf(at) === undefined) return [];
      return [reject({ code, message: text(at.context), ...(issues === undefined ? {} : { issues: issues(at) }) })];
    });
  return { change, say, changeAndSay, refuse };
}

/** True when labels and protection equal those of the object; a command that leaves one out does not change it. */
const hasMetadata = (
  context: DeclaredContext<unknown>,
  { labels = context.labels, protect = context.protect }: Pick<DeclaringEvent<unknown>, 'labels' | 'protect'>,
): boolean => sameJson(labels, context.labels) && protect === context.protect;

/** Reads the declaration in an event and compares it with the object. */
function declarationsOf<Spec extends object, C extends DeclaredContext<Spec>, E extends EventObject>(
  declared: AnyDeclared,
) {
  type At = KitAt<C, E>;
  const declaration = ({ event }: At) => event as unknown as DeclaringEvent<Spec>;
  const changesIn = (at: At): readonly SpecChange[] =>
    at.context.spec === null ? [] : specChanges(declared, at.context.spec, declaration(at).spec);
  return {
    declaration,
    changesIn,
    replaced: (at: At): readonly SpecChange[] => changesIn(at).filter(({ change }) => change === 'replace'),
    isSameSpec: (at: At): boolean => changesIn(at).length === 0,
    sameMetadata: (at: At): boolean =>
      hasMetadata(at.context, declaration(at)) && keepsOwner(at.context, at.event.meta),
  };
}

/** Actions that answer commands now, or defer them and answer all of them later. */
function answersOf<C extends DeclaredContext<object>, E extends EventObject>(
  kind: string,
  resultOf: (context: C) => object,
) {
  const { say, changeAndSay } = actionsFor<C, E>();
  const answer = (context: C, result: Waiter['result']): object => {
    const { uid, generation } = context;
    return { uid, generation, result, ...resultOf(context) };
  };
  const answerNow = (result: Waiter['result']) =>
    say((at) => {
      const commandId = commandOf(at);
      return commandId === undefined ? [] : [reply(commandId, answer(at.context, result))];
    });
  const wait = (resultFor: (verb: string) => Waiter['result']) =>
    changeAndSay((at) => {
      const commandId = commandOf(at);
      if (commandId === undefined) return { changes: {}, asks: [] };
      const result = resultFor(at.event.type.slice(kind.length + 1));
      return { changes: { waiters: [...at.context.waiters, { commandId, result }] }, asks: [defer] };
    });
  const rejectWaiters = ({ waiters }: C, error: Failure, path: string) => ({
    changes: { waiters: [] },
    asks: waiters.map(({ commandId }) => rejectFor(commandId, error, path)),
  });
  return {
    /** Defers the command until `answerAll` or `rejectAll`; the result of create and apply will be `created`. */
    awaitAnswer: wait((verb) => (verb === 'delete' ? 'deleted' : verb === 'update' ? 'updated' : 'created')),
    /** Defers the command of an object that exists already; its result will be `updated`. */
    awaitUpdated: wait(() => 'updated'),
    answerUnchanged: answerNow('unchanged'),
    answerUpdated: answerNow('updated'),
    /** Answers every deferred command. */
    answerAll: changeAndSay(({ context }) => ({
      changes: { waiters: [] },
      asks: context.waiters.map(({ commandId, result }) => reply(commandId, answer(context, result))),
    })),
    /** Rejects every deferred command with the error of the event and the field that it names. */
    rejectAll: changeAndSay(({ context, event }) => {
      const { error, path = 'name' } = event as unknown as { error: Failure; path?: string };
      return rejectWaiters(context, error, path);
    }),
    rejectDeleted: changeAndSay(({ context }) => {
      const message = `${context.id} was deleted before it was ready`;
      return rejectWaiters(context, { code: 'deleted', message, retryable: false }, 'name');
    }),
  };
}

/** Actions that reject a declaration or a deletion. */
function rejectionsOf<Spec extends object, C extends DeclaredContext<Spec>, E extends EventObject>(
  kind: string,
  { declaration, changesIn, replaced, sameMetadata }: ReturnType<typeof declarationsOf<Spec, C, E>>,
  problems: NonNullable<KitOptions<Spec, C>['problems']>,
) {
  const { say, refuse } = actionsFor<C, E>();
  return {
    rejectDifferent: refuse(
      'exists_differently',
      ({ id }) => `${id} exists with another spec or other labels; send ${kind}.update or ${kind}.apply to change it`,
      (at) => [
        ...changesIn(at).map(({ path, before, after }) => ({
          path: `spec.${path}`,
          message: `is ${shown(before)}, not ${shown(after)}`,
        })),
        ...(sameMetadata(at)
          ? []
          : [{ path: 'labels', message: `labels or protect differ from those of ${at.context.id}` }]),
      ],
    ),
    rejectImmutable: refuse(
      'immutable_field',
      ({ id }) =>
        `${id} cannot be changed in this field; keep the field as it is, or delete the object and create it again`,
      (at) => replaced(at).map(issueOf),
    ),
    rejectInvalid: say((at) => {
      const found = problems(declaration(at).spec);
      const [first] = found;
      if (first === undefined || commandOf(at) === undefined) return [];
      const issues = found.map(({ path, message }) => ({ path, message }));
      return [reject({ code: first.code, message: first.message, issues })];
    }),
    rejectBusy: refuse('name_busy', ({ id }) => `${id} is being deleted; try again once it is gone`),
    rejectUndecided: refuse('name_busy', ({ id }) => `${id} still processes an earlier change; try again shortly`),
    rejectProtected: refuse(
      'protected',
      ({ id }) => `${id} is protected; update it with protect: false, then delete it`,
    ),
  };
}

/**
 * The actions and guards that all declared kinds share.
 * @throws TypeError for a kind that clients cannot declare
 */
export function declaredKit<Spec extends object, C extends DeclaredContext<Spec>, E extends EventObject>(
  schema: KindSchema,
  { result = () => ({}), problems = () => [] }: KitOptions<Spec, C> = {},
) {
  const { declared, kind } = schema;
  if (declared === undefined) throw new TypeError(`${kind} is not declared by clients`);
  type At = KitAt<C, E>;
  const declarations = declarationsOf<Spec, C, E>(declared);
  const { declaration, replaced, isSameSpec, sameMetadata } = declarations;
  const { change, say } = actionsFor<C, E>();

  const actions = {
    ...answersOf<C, E>(kind, result),
    ...rejectionsOf<Spec, C, E>(kind, declarations, problems),
    /** Stores the accepted spec and its metadata. */
    takeSpec: change((at) => {
      const { spec, labels = at.context.labels, protect = at.context.protect } = declaration(at);
      const { context, event } = at;
      const generation = context.generation + 1;
      const managed = managedAfter(context, event.meta);
      return { uid: context.uid || event.meta.ulid, spec, labels, protect, generation, ...managed } as Partial<C>;
    }),
    takeMetadata: change((at) => {
      const { labels = at.context.labels, protect = at.context.protect } = declaration(at);
      return { labels, protect, ...managedAfter(at.context, at.event.meta) } as Partial<C>;
    }),
    claimQuota: say(({ context }) => [send(tenantOf(context.id), quotaClaim({ kind, claimant: context.id }))]),
    releaseQuota: say(({ context }) => [send(tenantOf(context.id), quotaRelease({ kind, claimant: context.id }))]),
    noteFailure: change(({ context, event }) =>
      'error' in event && event.error !== null
        ? ({ failure: failureOf(event.error as Failure), tries: context.tries + 1 } as Partial<C>)
        : {},
    ),
    forgetFailure: change(() => ({ failure: null, tries: 0 }) as Partial<C>),
    /** Records that the newest accepted spec is realized and proven. */
    observe: change(({ context }) => ({ observedGeneration: context.generation }) as Partial<C>),
    setCondition: assign(({ context, event }, params: ConditionParams) => {
      const at = { context, event } as unknown as At;
      const message = params.message ?? (params.status === 'True' ? '' : (at.context.failure?.message ?? ''));
      return { conditions: withCondition(at.context.conditions, { ...params, message }, at.event.meta.at) };
    }) as unknown as (args: ActionArgs<C, E, E>, params: ConditionParams) => void,
  };

  const guards = {
    /** Spec, labels and protection equal those of the object. */
    isSame: (at: At): boolean => isSameSpec(at) && sameMetadata(at),
    isSameSpec,
    isImmutable: (at: At): boolean => replaced(at).length > 0,
    isInvalid: (at: At): boolean => problems(declaration(at).spec).length > 0,
    isProtected: ({ context }: At): boolean => context.protect,
    mayPass: ({ event }: At): boolean => 'error' in event && (event.error as Failure | null)?.retryable === true,
  } as unknown as Readonly<
    Record<
      'isSame' | 'isSameSpec' | 'isImmutable' | 'isInvalid' | 'isProtected' | 'mayPass',
      (at: { context: C; event: E }) => boolean
    >
  >;
  return { actions, guards };
}

const tenantOf = (id: string): string => tenantId(partsOfId(id).tenant);

// Rules for the `on` of states, by the names of the kit's guards and actions

const unchanged = { guard: 'isSame', actions: 'answerUnchanged' } as const;
const immutable = { guard: 'isImmutable', actions: 'rejectImmutable' } as const;
const invalid = { guard: 'isInvalid', actions: 'rejectInvalid' } as const;
const different = { actions: 'rejectDifferent' } as const;

type Rules<Kind extends string, Verb extends string, Rule> = { readonly [Type in `${Kind}.${Verb}`]: Rule };

const rules = <Kind extends string, Verb extends string, Rule>(kind: Kind, verbs: readonly Verb[], rule: Rule) =>
  Object.fromEntries(verbs.map((verb) => [`${kind}.${verb}`, rule])) as Rules<Kind, Verb, Rule>;

/** Rules of the initial state: a valid declaration leads to `target`, an invalid one ends the actor at once. */
export const whenBorn = <Kind extends string, const Target extends string>(
  kind: Kind,
  target: Target,
  gone = 'gone' as const,
) =>
  rules(kind, ['create', 'apply'], [
    { ...invalid, target: gone },
    { target, actions: ['takeSpec', 'awaitAnswer'] },
  ] as const);

/**
 * Rules of states before the first declaration is answered: an equal one is answered together with it. @param accepted
 * transition for a changed spec, with `takeSpec` and `awaitAnswer` among its actions @param relabel actions for other
 * labels, before they are taken
 */
export const whileDeclaring = <Kind extends string, const Accepted, const Relabel extends readonly string[] = []>(
  kind: Kind,
  accepted: Accepted,
  ...relabel: Relabel
) => ({
  ...rules(kind, ['create'], [{ guard: 'isSame', actions: 'awaitAnswer' }, different] as const),
  ...rules(kind, ['update', 'apply'], [
    { guard: 'isSame', actions: 'awaitAnswer' },
    { guard: 'isSameSpec', actions: [...relabel, 'takeMetadata', 'awaitAnswer'] },
    invalid,
    immutable,
    accepted,
  ] as const),
});

/**
 * Rules of states of an existing object whose labels others depend on.
 * @param relabel actions for other labels, before they are taken
 * @param accepted transitions for a changed, admissible spec
 */
export const whileLivingWith = <
  Kind extends string,
  const Relabel extends readonly string[],
  const Accepted extends readonly unknown[],
>(
  kind: Kind,
  relabel: Relabel,
  ...accepted: Accepted
) => {
  const relabelled = { guard: 'isSameSpec', actions: [...relabel, 'takeMetadata', 'answerUpdated'] } as const;
  return {
    ...rules(kind, ['create'], [unchanged, different] as const),
    ...rules(kind, ['update', 'apply'], [unchanged, relabelled, invalid, immutable, ...accepted] as const),
  };
};

/** Rules of states of an existing object. @param accepted transitions for a changed, admissible spec */
export const whileLiving = <Kind extends string, const Accepted extends readonly unknown[]>(
  kind: Kind,
  ...accepted: Accepted
) => whileLivingWith(kind, [], ...accepted);

/** Transition for a change that is realized as soon as it is accepted. */
export const acceptedAtOnce = { actions: ['takeSpec', 'observe', 'answerUpdated'] } as const;

/** Rules of states during deletion. */
export const whileDeleting = <Kind extends string>(kind: Kind) => ({
  ...rules(kind, ['create', 'update', 'apply'], { actions: 'rejectBusy' } as const),
  ...rules(kind, ['delete'], { actions: 'awaitAnswer' } as const),
});

/** Rules for a deletion that only protection can refuse. */
export const deletedBy = <Kind extends string, const Rest extends readonly unknown[]>(kind: Kind, ...rest: Rest) =>
  rules(kind, ['delete'], [{ guard: 'isProtected', actions: 'rejectProtected' }, ...rest] as const);
