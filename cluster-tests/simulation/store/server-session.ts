/**
 * The server's end of one connection: commands run in the order of arrival, one that blocks (WAIT, XREAD BLOCK) delays
 * those behind it, and WAIT knows what this connection has written or read. Created at each connect by
 * simulated-client.ts, which is the client's end and the network.
 */
import type { VirtualTime } from '../virtual-time.ts';
import { ReplyFault, StatusReply, type StoreReply } from './keyspace.ts';
import type { SimulatedServer } from './simulated-server.ts';

export type Result = readonly [Error | null, unknown];

interface Request {
  readonly commands: readonly (readonly string[])[];
  readonly results: Result[];
  readonly done: (results: readonly Result[]) => void;
}

/** A command that has no reply yet: `look` tries again, `timedOut` is the reply when its time is over. */
interface Blocking {
  readonly forMs: number;
  readonly look: () => Result | undefined;
  readonly timedOut: () => Result;
}

const unblocked = 'UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)';
const pausedLookMs = 20;

function plain(reply: StoreReply): unknown {
  if (reply instanceof StatusReply) return reply.text;
  return Array.isArray(reply) ? reply.map(plain) : reply;
}

/** The conversions that ioredis applies to replies. */
function transformed(name: string, reply: unknown): unknown {
  if (name !== 'hgetall') return reply;
  const pairs = reply as string[];
  const fields: Record<string, string> = {};
  for (let at = 0; at < pairs.length; at += 2) fields[pairs[at] as string] = pairs[at + 1] as string;
  return fields;
}

function asResult(run: () => unknown): Result {
  try {
    return [null, run()];
  } catch (error) {
    if (error instanceof ReplyFault) return [error, undefined];
    throw error;
  }
}

export class ServerSession {
  readonly server: SimulatedServer;
  private readonly by: string;
  private readonly time: VirtualTime;
  private queue: Request[] = [];
  private stopBlocking: (() => void) | undefined;
  /** WAIT waits until replicas have the server's file up to this length. */
  private place = 0;

  constructor(server: SimulatedServer, by: string, time: VirtualTime) {
    this.server = server;
    this.by = by;
    this.time = time;
  }

  /** @param done called with the replies, once all are there */
  run(commands: readonly (readonly string[])[], done: (results: readonly Result[]) => void): void {
    this.queue.push({ commands, results: [], done });
    if (this.stopBlocking === undefined) this.runQueue();
  }

  /** The socket is closed: commands that wait in it are not run. */
  close(): void {
    this.stopBlocking?.();
    this.queue = [];
  }

  private runQueue(): void {
    for (let request = this.queue[0]; request !== undefined; request = this.queue[0]) {
      const { commands, results, done } = request;
      while (results.length < commands.length) {
        const result = this.runOne(commands[results.length] ?? []);
        if ('forMs' in result) return this.block(result, results);
        results.push(result);
      }
      this.queue.shift();
      done(results);
    }
  }

  private runOne([word = '', ...args]: readonly string[]): Result | Blocking {
    const { server, by } = this;
    const name = word.toLowerCase();
    if (name === 'wait') return this.wait(Number(args[0]), Number(args[1]));
    const before = server.file.length;
    const run = (): Result => asResult(() => transformed(name, plain(server.execute(by, name, args))));
    const result = run();
    const after = server.file.length;
    if (after !== before || !server.waitsOwnWrites) this.place = after;
    const forMs = result[1] === null && name === 'xread' ? blockOf(args) : undefined;
    if (forMs === undefined) return result;
    const look = (): Result | undefined => {
      const again = run();
      return again[0] === null && again[1] === null ? undefined : again;
    };
    return { forMs, look, timedOut: () => [null, null] };
  }

  private wait(wanted: number, forMs: number): Result | Blocking {
    const { server, place } = this;
    const count = (): Result => asResult(() => (server.admit('wait'), server.countAcknowledged(place)));
    const look = (): Result | undefined => {
      const result = count();
      return result[0] === null && Number(result[1]) < wanted ? undefined : result;
    };
    return look() ?? { forMs, look, timedOut: count };
  }

  private block({ forMs, look, timedOut }: Blocking, results: Result[]): void {
    const { server, time } = this;
    const finish = (result: Result): void => {
      stop();
      results.push(result);
      this.runQueue();
    };
    const again = (): void => {
      if (server.role === 'slave') return finish([new ReplyFault(unblocked), undefined]);
      const result = server.up && !server.paused ? look() : undefined;
      if (result !== undefined) finish(result);
    };
    const over = (): void => {
      if (!server.paused) return finish(timedOut());
      cancel = time.after(pausedLookMs, undefined, 'store block', over);
    };
    let cancel = time.after(forMs, undefined, 'store block', over);
    const ends = [server.onWrite(again), server.onAcknowledged(again)];
    const stop = (): void => {
      this.stopBlocking = undefined;
      cancel();
      for (const end of ends) end();
    };
    this.stopBlocking = stop;
  }
}

function blockOf(args: readonly string[]): number | undefined {
  const at = args.findIndex((word) => word.toLowerCase() === 'block');
  return at < 0 ? undefined : Number(args[at + 1]) || 1;
}
