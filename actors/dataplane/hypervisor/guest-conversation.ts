/**
 * A conversation with the QEMU guest agent over the socket of its port, which takes one at a time. Called by
 * guest-agent.ts, which asks what a guest is, and guest-freeze.ts.
 * The guest is hostile by assumption (docs/threats.md#t94): a line is read only when it is waited for, has at most
 * `lineBytes`, and all of them `allBytes`. Whatever a guest does instead of answering is no error, but no answer.
 */
import { randomInt } from 'node:crypto';
import net from 'node:net';
import { z } from 'zod';
import { errnoOf } from '../kernel-errors.ts';

export const lineBytes = 64 << 10;
export const allBytes = 256 << 10;
/** What was not read of former answers. */
const staleLines = 8;
/** A byte that no JSON has: the agent drops what it has read before, and begins its answer with it. */
const flush = 0xff;

export class GuestConversation {
  readonly #socket: net.Socket;
  readonly #lines: AsyncGenerator<Buffer, void>;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    // The reader is told of it, too.
    socket.on('error', () => {});
    this.#lines = linesOf(socket);
  }

  /** Null: the agent did not answer in time. */
  static async begin(socketPath: string, withinMs: number): Promise<GuestConversation | null> {
    const conversation = new GuestConversation(net.connect(socketPath));
    if ((await within(conversation.#getInStep(), withinMs)) === true) return conversation;
    conversation.end();
    return null;
  }

  /**
   * @returns undefined when there is no answer in time; null when the agent has none to this question. An answer that
   * comes later is not taken for that to the next question.
   */
  async ask(question: string, withinMs: number): Promise<unknown> {
    this.#socket.write(request(question));
    const line = await within(this.#lines.next(), withinMs);
    return line?.value === undefined ? undefined : returned(line.value);
  }

  end(): void {
    this.#socket.destroy();
  }

  /** The agent may have answers left for somebody who does not wait any more: they come before the one with this id. */
  async #getInStep(): Promise<boolean> {
    const id = randomInt(2 ** 47);
    this.#socket.write(Buffer.from([flush]));
    this.#socket.write(request('guest-sync-delimited', { id }));
    for (let count = 0; count < staleLines; count++) {
      const { value: line } = await this.#lines.next();
      if (line === undefined) return false;
      const answer = line.subarray(line.lastIndexOf(flush) + 1);
      if (line.includes(flush) && returned(answer) === id) return true;
    }
    return false;
  }
}

/** Ends at the first line that is too long, after too many bytes, and when the connection ends. */
async function* linesOf(socket: net.Socket): AsyncGenerator<Buffer, void> {
  const line = Buffer.alloc(lineBytes);
  let [length, total] = [0, 0];
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      total += chunk.length;
      if (total > allBytes) return;
      for (let from = 0; from < chunk.length;) {
        const newline = chunk.indexOf(0x0a, from);
        const end = newline < 0 ? chunk.length : newline;
        if (length + end - from > lineBytes) return;
        length += chunk.copy(line, length, from, end);
        from = end + 1;
        if (newline < 0) break;
        yield Buffer.from(line.subarray(0, length));
        length = 0;
      }
    }
  } catch (error) {
    // QEMU has ended the connection, or the conversation is over.
    if (errnoOf(error) === '') throw error;
  }
}

const request = (execute: string, args?: object): string => `${JSON.stringify({ execute, arguments: args })}\n`;

const answerSchema = z.union([
  z.object({ return: z.unknown() }).transform((answer) => answer.return),
  // A question that this agent does not know, or may not answer.
  z.object({ error: z.unknown() }).transform(() => null),
]);

/** @returns what the agent gives back; undefined when that is no answer of an agent */
function returned(line: Buffer): unknown {
  try {
    return answerSchema.safeParse(JSON.parse(line.toString())).data;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Undefined when it takes longer. */
async function within<Result>(work: Promise<Result>, ms: number): Promise<Result | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => (timer = setTimeout(resolve, Math.max(0, ms), undefined)));
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
