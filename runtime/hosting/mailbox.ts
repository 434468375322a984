/**
 * What waits for one actor: messages, commands, outcomes of effects, due timers, dead letters to deliver again, in
 * order of arrival. A mailbox is not durable: until the commit that takes an input, its origin still has it (outbox
 * row, client, pending effect, timer row). The number of messages and commands is bounded (G11); outcomes and timers
 * are bounded by what the chart asked for.
 */
import type { ActorId } from '../contract/identifiers.ts';
import type { ActorEvent, Command, Message, Reply } from '../contract/envelope.ts';
import type { Receipt } from '../contract/journal.ts';
import type { Delivery } from '../contract/link.ts';
import type { EffectOutcome } from '../contract/outcome.ts';
import type { Hold, StoredDeadLetter } from '../contract/supervision.ts';

export type CommandAnswer = Reply | { readonly moved: true };

/** A command on its way through the actor, and everybody who asked with the same id and digest. */
export interface OpenCommand {
  readonly command: Command;
  /** Where its receipt stands: unknown until looked up, absent when there is none. */
  receipt: 'unknown' | 'reading' | 'absent' | Receipt;
  /** Set once decided; the waiters get it when it is durable. */
  reply: Reply | undefined;
  waiters: ((answer: CommandAnswer) => void)[];
  /** Set on a resume for which an actor that could not be loaded was loaded again. */
  retried?: boolean;
  /** Of an operator's verb: the actor's dead letters, once read. */
  deadLetters?: 'reading' | readonly StoredDeadLetter[] | undefined;
  /** Of a redrive: the dead letters that were put before it in the mailbox. */
  driven?: readonly StoredDeadLetter[] | undefined;
}

export interface MessageInput {
  readonly kind: 'message';
  readonly message: Message;
  /** The name of its watermark, from `watermarkOf`. */
  readonly sender: string;
  readonly settle: (delivery: Delivery) => void;
  /** Of a message whose watermark may have been pruned: whether it is still in its sender's outbox. */
  atSender?: 'reading' | 'outstanding' | 'gone' | 'unreadable' | undefined;
}

export interface CommandInput {
  readonly kind: 'command';
  readonly open: OpenCommand;
}

export interface OutcomeInput {
  readonly kind: 'effect';
  readonly effectId: string;
  readonly type: string;
  readonly outcome: EffectOutcome;
}

export interface TimerInput {
  readonly kind: 'timer';
  readonly actor: ActorId;
  readonly timerId: string;
  readonly dueMs: number;
  readonly eventType: string;
}

/** A dead letter that is delivered again. */
export interface DeadLetterInput {
  readonly kind: 'deadLetter';
  readonly deadLetter: StoredDeadLetter;
  /** The quarantine that ends when it is taken; a newer one, caused by a dead letter before it, does not. */
  readonly frees: Hold | undefined;
}

export type Input = MessageInput | CommandInput | OutcomeInput | TimerInput | DeadLetterInput;

/** As the history and dead letters name it; of a message with the version at which its sender sent it. */
export function causeOf(input: Input): string {
  switch (input.kind) {
    case 'message': {
      const { from, seq, cause } = input.message;
      const sentAt = cause.startsWith(`${from}@`) ? cause.slice(from.length) : '';
      return `message:${from}:${seq}${sentAt}`;
    }
    case 'command':
      return `command:${input.open.command.commandId}`;
    case 'timer':
      return `timer:${input.timerId}`;
    case 'effect':
      return `effect:${input.effectId}`;
    case 'deadLetter':
      return `dead-letter:${input.deadLetter.deadLetterId}`;
  }
}

/** The event as the chart sees it, without `meta`. */
export function eventOf(input: Input): ActorEvent {
  switch (input.kind) {
    case 'message':
      return input.message.event;
    case 'command':
      return input.open.command.event;
    case 'timer':
      return { type: input.eventType };
    case 'deadLetter':
      return input.deadLetter.event;
    case 'effect': {
      const { outcome } = input;
      const type = `${input.type}.${outcome.result}`;
      return outcome.result === 'done' ? { ...outcome.payload, type } : { type, error: outcome.error };
    }
  }
}

/** The W3C traceparent it carries. */
export function traceOf(input: Input): string | undefined {
  if (input.kind === 'message') return input.message.trace;
  if (input.kind === 'deadLetter') return input.deadLetter.trace;
  return input.kind === 'command' ? input.open.command.trace : undefined;
}

/** First in, first out; taking is cheap also from a long queue. */
export class Mailbox {
  private inputs: Input[] = [];
  private head = 0;
  /** Inputs that count against the bound. */
  offered = 0;

  get length(): number {
    return this.inputs.length - this.head;
  }

  push(input: Input): void {
    if (input.kind === 'message' || input.kind === 'command') this.offered += 1;
    this.inputs.push(input);
  }

  /** Puts inputs before all that waits. */
  unshift(first: readonly Input[]): void {
    this.inputs = [...first, ...this.inputs.slice(this.head)];
    this.head = 0;
  }

  peek(): Input | undefined {
    return this.inputs[this.head];
  }

  shift(): Input | undefined {
    const input = this.inputs[this.head];
    if (input === undefined) return undefined;
    this.head += 1;
    if (input.kind === 'message' || input.kind === 'command') this.offered -= 1;
    if (this.head === this.inputs.length) {
      this.inputs = [];
      this.head = 0;
    }
    return input;
  }

  some(test: (input: Input) => boolean): boolean {
    return this.inputs.some((input, index) => index >= this.head && test(input));
  }

  /** Everything that waits, in order; the mailbox is empty afterwards. */
  takeAll(): Input[] {
    const rest = this.inputs.slice(this.head);
    this.inputs = [];
    this.head = 0;
    this.offered = 0;
    return rest;
  }
}
