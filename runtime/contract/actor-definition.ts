/**
 * What an application hands to the runtime for each actor kind: a pure chart and how its requests meet the world.
 *
 * Chart vocabulary (named actions a chart may record; everything else it records must be in `effects`):
 *   send        {to, event, durability?}  a message to another actor
 *   reply       {commandId?, result?}   answers the command being handled, or the deferred one named
 *   reject      {commandId?, code, message, issues?}
 *   defer       {}                      keeps the command being handled open; a later reply or reject names its id
 *   row.put     {collection, key, value}
 *   row.remove  {collection, key}
 * A command that is handled without any of reply, reject, defer is answered `ok`. One that no transition handles is
 * rejected `not_accepted`. A final top-level state removes the actor in the same commit.
 * Effects must be entry actions, and one effect type may not stand on two states of one path.
 */
import type { AnyStateMachine } from 'xstate';
import type { z } from 'zod';
import type { ActorId } from './identifiers.ts';
import type { Durability } from './durability.ts';
import type { ActorEvent } from './envelope.ts';
import type { EffectBinding } from './effect.ts';

export interface RowKey {
  readonly collection: string;
  /**
   * `*` asks for the whole collection: `meta.rows['<collection>/*']` is then an object of key -> value. Only for
   * small ones.
   */
  readonly key: string;
}

/** A field of a command that names another actor; the control API checks that it exists. */
export interface Reference {
  /** Dotted path of the field in params, for the error. */
  readonly path: string;
  readonly to: ActorId;
  /** Judges the named actor by the spec that its view shows; a text says why the field cannot name it. */
  readonly misfit?: (spec: unknown) => string | undefined;
  /**
   * Of an actor of another scope: whether, with this spec, it lets the scope of the command use it. To other scopes it
   * does not exist. Without the function the actor must be in the scope of the command.
   */
  readonly grants?: (spec: unknown, scope: string) => boolean;
}

export interface CommandDefinition {
  /** Strict object schema; unknown fields are rejected with their path. */
  readonly params: z.ZodType;
  /** `scope`: any principal of the actor's scope. `admin`: operators only. */
  readonly permission: 'scope' | 'admin';
  /** May start an actor that does not exist. */
  readonly creates?: boolean;
  /** May end what many actors wait for, so a node that is full because of them takes it. For kinds with few actors. */
  readonly exemptFromOverload?: boolean;
  readonly references?: (params: never, id: ActorId) => readonly Reference[];
  /** Fields of these params that only operators may set so, each with what others are told. */
  readonly operatorsOnly?: (params: never) => readonly { readonly path: string; readonly message: string }[];
  /** Dotted paths of params that are sealed before the actor gets them; only a mark of them is ever shown. */
  readonly secrets?: readonly string[];
  readonly description: string;
}

/** Something that was read of an object when somebody asked: `interface eth0`, `10.0.0.2/24`. */
export interface Fact {
  readonly name: string;
  readonly values: readonly string[];
}

export interface OutputPlace {
  readonly node: string;
  readonly path: string;
}

export interface ActorView {
  readonly spec: unknown;
  readonly status: unknown;
  /** One sentence on why the actor is not as it should be, for lists; null or absent when it is. */
  readonly reason?: string | null;
}

export interface ActorDefinition {
  readonly kind: string;
  /** Raised with every change of the stored form; older snapshots go through `upgrades`. */
  readonly chartVersion: number;
  readonly machine: AnyStateMachine;
  /** `sharded` on controllers, `pinned` to the host named after `@`. */
  readonly placement: 'sharded' | 'pinned';
  /** The only scope with actors of this kind; absent: any. */
  readonly scope?: string;
  /** Machine input of a new actor. */
  readonly input: (id: ActorId) => unknown;
  /**
   * Command name (`create`, `stop`) -> definition; the chart sees the event `<kind>.<name>` with the params as
   * fields.
   */
  readonly commands: Readonly<Record<string, CommandDefinition>>;
  /** Event types from other actors or the host that may start this actor. */
  readonly createdBy: readonly string[];
  readonly effects: Readonly<Record<string, EffectBinding>>;
  /**
   * Whether a message from another actor has the form this kind takes; must be pure. A text says what is wrong with
   * it: the message then becomes a dead letter `malformed: <text>`, its sender has it acknowledged, and the chart never
   * sees it. Without it every message reaches the chart. Commands are checked by their `params` instead.
   */
  readonly check?: (event: ActorEvent) => string | undefined;
  /**
   * The same for the payload of an effect that is done; `type` is the effect's. A text turns the outcome into `failed`
   * with the bug `outcome_malformed`.
   */
  readonly checkOutcome?: (type: string, payload: Readonly<Record<string, unknown>>) => string | undefined;
  /** Rows to load before the step; must be pure. */
  readonly needs?: (event: ActorEvent, context: never) => readonly RowKey[];
  /**
   * Where the object's output is kept that is no state, such as the console of a guest: a node, and a path that this
   * node's peer server serves as text. Null when there is none.
   */
  readonly output?: (id: ActorId, context: never) => OutputPlace | null;
  /**
   * Where figures of the object are read that are no state, such as bytes that a disk has allocated: nodes, and a path
   * of each node's peer server that answers a JSON object of numbers. All of them together are the figures.
   */
  readonly figures?: (id: ActorId, context: never) => readonly OutputPlace[];
  /**
   * Where the object is asked for words of its own, such as those of a guest: a path that answers a JSON array of
   * facts. Null when it has none.
   */
  readonly facts?: (id: ActorId, context: never) => OutputPlace | null;
  /**
   * Where the object takes bytes of clients: a node, and a path of its peer server to which they are posted with
   * `?offset=`. Null while it takes none.
   */
  readonly intake?: (id: ActorId, context: never) => OutputPlace | null;
  /**
   * What `get`, `list` and watches show; must hold no secret. Fields of the status that mean the same in every kind
   * have the form that shown-status.ts describes.
   */
  readonly view: (context: never) => ActorView;
  /** Any value of an actor of this kind as it may be shown; without this function the kind holds no secret. */
  readonly masked?: <T>(value: T) => T;
  /** What is left of it for principals that are no operators; without this function all of it. */
  readonly forScope?: (view: ActorView) => ActorView;
  /**
   * Event types that the chart leaves alone on purpose in some state; anything else unhandled is recorded as ignored.
   */
  readonly ignored?: readonly string[];
  /** From chart version n (key) to n + 1: a function of (state value, context). */
  readonly upgrades?: Readonly<
    Record<number, (stored: { state: unknown; context: unknown }) => { state: unknown; context: unknown }>
  >;
  /** Of what clients declare, as text: goes into the schema hash with the states and the context. */
  readonly specShape?: string;
  /** What its commits reach before anything of them leaves; without it, the store's usual level. */
  readonly durability?: Durability;
  /** Hot history entries kept; default 32. */
  readonly historyTail?: number;
}

export interface ActorRegistry {
  readonly kinds: ReadonlyMap<string, ActorDefinition>;
}
