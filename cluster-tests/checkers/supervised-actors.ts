/**
 * K14 of docs/promises.md: a chart that throws costs one input and stops one actor (G8). One commit turns that input
 * into a dead letter and quarantines the actor; a held actor accepts operator verbs and nothing else; every
 * acknowledged verb is in the history once, with principal and reason; a dead letter is removed only by a skip or by a
 * redelivery. simulated-operators.ts checks during the run that the other actors of the shard go on. Pure. Called by
 * runtime-promises.ts.
 */
import { verbOf, type DeadLetter, type Hold } from '@photoncloud/runtime/contract/supervision';
import type { ActorEvent } from '@photoncloud/runtime/contract/envelope';
import type { HistoryEntry } from '@photoncloud/runtime/contract/journal';
import type { RecordHead } from '@photoncloud/runtime/journal/record-decoding';
import type { ClientRecord } from '../simulation/simulated-clients.ts';
import type { StoreFact } from './store-facts.ts';

/** Whether the chart of the actor throws on an event in a context; undefined when that is not known for its kind. */
export type IsPoison = (actor: string, event: ActorEvent, context: Record<string, unknown>) => boolean | undefined;

type History = Extract<StoreFact, { fact: 'history' }>;
type ActorDeadLetter = DeadLetter & { readonly actor: string };

interface Supervised {
  hold: { readonly kind: Hold['kind']; readonly hasDeadLetter: boolean } | undefined;
  context: Record<string, unknown>;
}

const eventOf = (entry: HistoryEntry): ActorEvent => entry.event as ActorEvent;
const hasFailed = ({ kind, asked }: HistoryEntry): boolean =>
  kind === 'dropped' && asked[0]?.startsWith('chart_failed') === true;

class Supervision {
  readonly broken: string[] = [];
  private readonly actors = new Map<string, Supervised>();
  private readonly stored = new Map<string, ActorDeadLetter>();
  private readonly isPoison: IsPoison;
  /** The store command that is being read. The four lists below hold what this command did. */
  private run = -1;
  /** Steps whose chart threw. */
  private failed: History[] = [];
  /** Dead letters that were added. */
  private parked: ActorDeadLetter[] = [];
  /** Dead letters that were removed. */
  private removed: ActorDeadLetter[] = [];
  /** Steps that may remove a dead letter: a redelivery or a skip. */
  private removals: History[] = [];

  constructor(isPoison: IsPoison) {
    this.isPoison = isPoison;
  }

  read(fact: StoreFact): void {
    if (fact.run !== this.run) this.closeRun();
    this.run = fact.run;
    if (fact.fact === 'history') this.readEntry(fact);
    else if (fact.fact === 'record' && fact.fields['head'] !== undefined) this.compare(fact.actor, fact.fields);
    else if (fact.fact === 'dead letter') {
      this.parked.push(fact.deadLetter);
      this.stored.set(`${fact.shard} ${fact.place}`, fact.deadLetter);
    } else if (fact.fact === 'dead letter gone') {
      const place = `${fact.shard} ${fact.place}`;
      const deadLetter = this.stored.get(place);
      if (deadLetter !== undefined) this.removed.push(deadLetter);
      this.stored.delete(place);
    }
  }

  private actor(id: string): Supervised {
    let known = this.actors.get(id);
    if (known === undefined) this.actors.set(id, (known = { hold: undefined, context: {} }));
    return known;
  }

  private readEntry(fact: History): void {
    const { entry, actor: id, by } = fact;
    const actor = this.actor(id);
    const event = eventOf(entry);
    const verb = entry.cause.startsWith('command:') ? verbOf(event) : undefined;
    const isDeadLetter = entry.cause.startsWith('dead-letter:');
    if (isDeadLetter || verb === 'skip') this.removals.push(fact);
    if (actor.hold !== undefined && verb === undefined && entry.kind !== 'upgraded') {
      if (isDeadLetter && actor.hold.kind === 'quarantined') actor.hold = undefined;
      else this.broken.push(`K14: ${id} is ${actor.hold.kind}, and ${by} let it take ${entry.cause} (${event.type})`);
    }
    const failed = hasFailed(entry);
    const expected = entry.kind === 'transition' || failed ? this.isPoison(id, event, actor.context) : undefined;
    if (expected !== undefined && expected !== failed)
      this.broken.push(
        `K14: the chart of ${id} ${expected ? 'throws' : 'does not throw'} on ${event.type}; the history calls it ` +
          (failed ? 'a failure' : entry.kind),
      );
    actor.context = entry.whole === undefined ? { ...actor.context, ...entry.changed } : { ...entry.changed };
    if (failed) this.failed.push(fact);
    if (entry.to === null) actor.hold = undefined;
    else if (failed) actor.hold = { kind: 'quarantined', hasDeadLetter: !entry.cause.startsWith('command:') };
    else if (verb !== undefined) this.apply(actor, verb, event);
  }

  private apply(actor: Supervised, verb: string, event: ActorEvent): void {
    if (verb === 'pause') actor.hold ??= { kind: 'paused', hasDeadLetter: false };
    else if (verb === 'resume') actor.hold = undefined;
    else if (
      actor.hold?.kind === 'quarantined' &&
      (verb === 'reset' || (verb === 'skip' && event['deadLetters'] === undefined))
    )
      actor.hold = undefined;
  }

  /** Called for the record, which is the last that a store command writes for an actor. */
  private compare(id: string, { head = '{}' }: Readonly<Record<string, string>>): void {
    const { hold, status } = JSON.parse(head) as RecordHead;
    const actor = this.actor(id);
    if (status === 'removed') actor.hold = undefined;
    if (hold?.kind !== actor.hold?.kind)
      this.broken.push(
        `K14: ${id} is stored as ${hold?.kind ?? 'free'}; by its history it is ${actor.hold?.kind ?? 'free'}`,
      );
    const own = this.parked.find(({ deadLetterId }) => deadLetterId === hold?.deadLetterId);
    const isNew = this.failed.some((fact) => fact.actor === id);
    if (isNew && actor.hold?.hasDeadLetter === true && own?.actor !== id)
      this.broken.push(`K14: ${id} is quarantined, and its hold does not name the dead letter that caused it`);
  }

  private closeRun(): void {
    for (const { actor, entry, by } of this.failed) {
      if (entry.cause.startsWith('command:')) continue;
      const deadLetter = this.parked.find(
        (one) =>
          one.actor === actor && JSON.stringify(one.event) === JSON.stringify(entry.event) && sameCause(one, entry),
      );
      if (deadLetter === undefined)
        this.broken.push(`K14: ${entry.cause} of ${actor} was dropped by ${by} without a dead letter`);
    }
    for (const { actor, entry } of this.removals) {
      const { cause } = entry;
      if (
        cause.startsWith('dead-letter:') &&
        !this.removed.some(({ deadLetterId }) => cause === `dead-letter:${deadLetterId}`)
      )
        this.broken.push(`K14: ${cause} was delivered again to ${actor} and is still stored`);
    }
    for (const deadLetter of this.removed) {
      const removal = this.removals.find(
        ({ actor, entry }) =>
          actor === deadLetter.actor &&
          (entry.cause === `dead-letter:${deadLetter.deadLetterId}` || !entry.cause.startsWith('dead-letter:')),
      );
      if (removal === undefined)
        this.broken.push(
          `K14: dead letter ${deadLetter.deadLetterId} of ${deadLetter.actor} was removed without a skip or redelivery`,
        );
    }
    this.failed = [];
    this.parked = [];
    this.removed = [];
    this.removals = [];
  }
}

/** A dead letter that fails again keeps its first cause. */
const sameCause = (deadLetter: ActorDeadLetter, { cause }: HistoryEntry): boolean =>
  deadLetter.cause === cause || cause.startsWith('dead-letter:');

export function checkSupervision(
  facts: readonly StoreFact[],
  records: readonly ClientRecord[],
  isPoison: IsPoison = () => undefined,
): string[] {
  if (facts.some(({ fact }) => fact === 'rolled back')) return [];
  const supervision = new Supervision(isPoison);
  for (const fact of facts) supervision.read(fact);
  return [...supervision.broken, ...checkAudit(facts, records)];
}

function checkAudit(facts: readonly StoreFact[], records: readonly ClientRecord[]): string[] {
  const applied = new Map<string, HistoryEntry[]>();
  for (const fact of facts) {
    if (fact.fact !== 'history' || verbOf(eventOf(fact.entry)) === undefined) continue;
    const key = `${fact.actor} ${fact.entry.cause}`;
    applied.set(key, [...(applied.get(key) ?? []), fact.entry]);
  }
  return records.flatMap(({ command, outcome }) => {
    const { event, principal, to } = command;
    if (verbOf(event) === undefined || event['dryRun'] === true) return [];
    const entries = applied.get(`${to} command:${command.commandId}`) ?? [];
    const where = `${event.type} of ${to} (${command.commandId})`;
    if (entries.length > 1) return [`K14: ${where} was applied ${entries.length} times`];
    const [entry] = entries;
    if (entry === undefined)
      return outcome === 'ok' ? [`K14: ${where} was acknowledged and is not in the history`] : [];
    const { principal: by, reason } = eventOf(entry);
    return by === principal && reason === event['reason']
      ? []
      : [`K14: ${where} is in the history without its principal or reason`];
  });
}
