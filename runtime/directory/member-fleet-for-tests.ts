/**
 * Test support: controllers as child processes, connected to each other through this process, which records answers,
 * deliveries and repeats. Never used in production. A call to a process that has ended, or over a cut link, returns no
 * value, like a broken link.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Command, Message, Reply } from '../contract/envelope.ts';
import type { Delivery } from '../contract/link.ts';
import type { CommandAnswer } from '../hosting/mailbox.ts';

export interface MemberOrders {
  readonly url: string;
  readonly node: string;
  readonly boot: string;
  readonly beatMs: number;
  readonly silenceMs: number;
}

/** One request to a peer; exactly one of message and command is set. */
export interface MemberCall {
  readonly number: number;
  readonly to: string;
  readonly message?: Message;
  readonly command?: Command;
}

interface CallResult {
  readonly number: number;
  /** Absent when the call had no answer. */
  readonly value?: Delivery | CommandAnswer;
}

export interface ToMember {
  readonly ask?: Command;
  readonly call?: MemberCall;
  readonly result?: CallResult;
}

export interface FromMember extends Omit<ToMember, 'ask'> {
  readonly ready?: true;
  readonly owns?: number;
  readonly answer?: { readonly commandId: string; readonly reply: Reply };
  /** A message whose receiver has committed it: `<sender>~<sender uid> <seq>`. */
  readonly applied?: string;
  readonly delivering?: string;
  readonly number?: number;
  readonly fenced?: string;
  readonly drainedMs?: number;
}

export interface Member {
  readonly child: ChildProcess;
  /** The process has ended; `connected` of the child may still be true for a moment. */
  gone: boolean;
  owns: number;
  fenced: number;
  drainedMs: number | undefined;
}

const program = join(import.meta.dirname, 'member-process-for-tests.ts');

export class MemberFleet {
  readonly members = new Map<string, Member>();
  /** Messages that were delivered again after their receiver had committed them. */
  again = 0;
  delivered = 0;
  readonly #orders: Pick<MemberOrders, 'url' | 'beatMs' | 'silenceMs'>;
  readonly #applied = new Set<string>();
  readonly #asking = new Map<string, (reply: Reply) => void>();
  readonly #calls = new Map<number, { readonly from: string; readonly to: string; readonly number: number }>();
  readonly #cut = new Set<string>();
  #numbered = 0;
  #started = 0;

  constructor(orders: Pick<MemberOrders, 'url' | 'beatMs' | 'silenceMs'>) {
    this.#orders = orders;
  }

  async start(node: string): Promise<Member> {
    this.#started += 1;
    const orders: MemberOrders = { ...this.#orders, node, boot: `${node}-${this.#started}` };
    const child = fork(program, [JSON.stringify(orders)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const member: Member = { child, gone: false, owns: 0, fenced: 0, drainedMs: undefined };
    this.members.set(node, member);
    await new Promise<void>((resolve, reject) => {
      child.on('message', (news: FromMember) => {
        if (news.ready === true) resolve();
        else this.#hear(node, member, news);
      });
      child.once('exit', () => {
        reject(new Error(`${node} ended before it was ready`));
        member.gone = true;
        this.#ended(node);
      });
    });
    return member;
  }

  /**
   * Sends a command through this node, whichever node owns the actor. If the node ends, the command must be repeated.
   */
  ask(node: string, command: Command): Promise<Reply> {
    return new Promise((resolve) => {
      this.#asking.set(command.commandId, resolve);
      this.#send(node, { ask: command });
    });
  }

  /** Cuts the link between these two in both directions; `heal` restores all links. */
  cut(one: string, other: string): void {
    this.#cut.add(`${one} ${other}`).add(`${other} ${one}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  async end(node: string, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const { child } = this.members.get(node) as Member;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  async stop(): Promise<void> {
    for (const [node, { child }] of this.members) {
      if (child.exitCode === null && child.signalCode === null) await this.end(node, 'SIGKILL');
    }
  }

  #send(node: string, words: ToMember): void {
    const child = this.members.get(node)?.child;
    if (child?.connected === true) child.send(words, () => undefined); // the exit event reports a member that has ended
  }

  #hear(node: string, member: Member, news: FromMember): void {
    member.owns = news.owns ?? member.owns;
    member.drainedMs = news.drainedMs ?? member.drainedMs;
    if (news.fenced !== undefined) member.fenced += 1;
    if (news.applied !== undefined) this.#applied.add(news.applied);
    if (news.delivering !== undefined) {
      this.delivered += 1;
      if (this.#applied.has(news.delivering)) this.again += 1;
    }
    if (news.answer !== undefined) this.#asking.get(news.answer.commandId)?.(news.answer.reply);
    if (news.call !== undefined) this.#forward(node, news.call);
    if (news.result !== undefined) this.#bringBack(news.result);
  }

  #forward(from: string, call: MemberCall): void {
    this.#numbered += 1;
    const { number, to } = call;
    const member = this.members.get(to);
    const alive = member?.child.connected === true && !member.gone;
    if (!alive || this.#cut.has(`${from} ${to}`)) return this.#send(from, { result: { number } });
    this.#calls.set(this.#numbered, { from, to, number });
    return this.#send(to, { call: { ...call, number: this.#numbered } });
  }

  #bringBack({ number, value }: CallResult): void {
    const call = this.#calls.get(number);
    this.#calls.delete(number);
    if (call === undefined) return;
    const { from, number: asked } = call;
    this.#send(from, { result: { number: asked, ...(value === undefined ? {} : { value }) } });
  }

  #ended(node: string): void {
    for (const [number, { to }] of this.#calls) if (to === node) this.#bringBack({ number });
  }
}
