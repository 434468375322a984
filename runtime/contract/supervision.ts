/**
 * What an operator can do with one actor, and what the store keeps of it (G8): the hold that keeps an actor from
 * taking inputs, the dead letters that could not be delivered, the verbs that change either. Types and names only.
 *
 * A verb travels as an ordinary command of type `actor.<verb>`: the host answers it before the chart could see it, so
 * it has one receipt, one commit and one entry in the actor's history. The control API admits operators only.
 */
import type { ActorEvent } from './envelope.ts';
import type { ActorId } from './identifiers.ts';

/** Why an actor takes no inputs. Stored with it, so that every later owner keeps to it. */
export interface Hold {
  /** `quarantined` by the host when the chart fails; `paused` by an operator. */
  readonly kind: 'paused' | 'quarantined';
  readonly reason: string;
  /** Wall time, ms since the epoch. */
  readonly at: number;
  /** The operator's principal; `host` for a quarantine. */
  readonly by: string;
  /** The dead letter of the input that led to a quarantine, if it became one. */
  readonly deadLetterId?: string;
}

/** An input that could not be applied: there is no such actor, the input is malformed, or the chart failed on it. */
export interface DeadLetter {
  /** A ULID, unique for ever. */
  readonly deadLetterId: string;
  readonly event: ActorEvent;
  /** As in the history: `message:<from>:<seq>@<version>`, `timer:<id>`, `effect:<id>`. */
  readonly cause: string;
  /** The sender of a message. */
  readonly from?: ActorId;
  /** A code, `: ` and details: `chart_failed: Error: ...`, `malformed: item: expected number`, `no_such_actor`. */
  readonly reason: string;
  /** The actor as the input found it; null for one that does not exist. */
  readonly state: unknown;
  readonly version: number;
  /** Wall time, ms since the epoch. */
  readonly at: number;
  readonly trace?: string;
}

/** A dead letter with its place in the store. */
export interface StoredDeadLetter extends DeadLetter {
  readonly actor: ActorId;
  /** Its place in the shard's stream of dead letters; opaque. */
  readonly place: string;
}

/** The part before the dot of every verb; no kind may have this name. */
export const operatorKind = 'actor';

/**
 * pause    {reason}                takes no inputs until it is resumed; its effects stop and are performed again
 * resume   {reason}                ends a hold of either kind
 * skip     {reason, deadLetters?}  drops dead letters: those named, or the one that led to the quarantine
 * redrive  {reason, deadLetters?}  delivers dead letters again: those named, or all of this actor
 * reset    {reason, to, patch?, dryRun?}
 *                                  enters a state with its entry actions, as if the chart had gone there
 * Skip, redrive and reset end a quarantine; a pause is ended by resume alone.
 */
export type OperatorVerb = 'pause' | 'resume' | 'skip' | 'redrive' | 'reset';

const verbStart = `${operatorKind}.`;

/**
 * The type of a command that only asks what another command would do, which is its field `event`. It is a type of its
 * own and not a mark on the command: a node of a release without dry runs refuses it instead of performing the command.
 */
const dryRunType = `${verbStart}dry-run`;

export const asDryRun = (event: ActorEvent): ActorEvent => ({ type: dryRunType, event });

/** The event of the command that a dry run is about; undefined for any other command. */
export const dryRunOf = ({ type, event }: ActorEvent): ActorEvent | undefined =>
  type === dryRunType ? (event as ActorEvent) : undefined;

const verbs: ReadonlySet<string> = new Set<OperatorVerb>(['pause', 'resume', 'skip', 'redrive', 'reset']);

export function verbOf(event: ActorEvent): OperatorVerb | undefined {
  const { type } = event;
  if (!type.startsWith(verbStart)) return undefined;
  const verb = type.slice(verbStart.length);
  return verbs.has(verb) ? (verb as OperatorVerb) : undefined;
}
