/**
 * The interface of ioredis over a simulated server: a connection of one process, with delays, lost replies, resets and
 * reconnects from the seed. Behaves as ioredis with the strict settings of runtime/journal/store-connection.ts:
 * commands of one connection run in order, nothing is queued while the connection is not ready, nothing is sent twice,
 * and a command without a reply in time fails.
 */
import type { Redis } from 'ioredis';
import type { Chance } from '../seeded-random.ts';
import type { SimulatedProcess } from '../simulated-process.ts';
import type { VirtualTime } from '../virtual-time.ts';
import { ServerSession, type Result } from './server-session.ts';
import type { SimulatedServer } from './simulated-server.ts';

export interface StoreConditions {
  /** One way, mean, ms. */
  delayMs: number;
  /** Probability per request that the connection breaks before the request arrives. */
  lostRequest: number;
  /** Probability per request that the connection breaks after the request was run, before its reply arrives. */
  lostReply: number;
  /** Names of nodes that cannot reach the store at present. */
  readonly cutOff: Set<string>;
}

type Argument = string | number | Buffer | readonly Argument[];

interface Pending {
  readonly settle: (results: readonly Result[]) => void;
  readonly count: number;
}

const commandTimeoutMs = 5_000;
const reconnectDelayMs = 100;

const flat = (args: readonly Argument[]): string[] =>
  args.flatMap((one) => (Array.isArray(one) ? flat(one as readonly Argument[]) : [String(one)]));

export interface ConnectionOptions {
  readonly time: VirtualTime;
  /** Called at each connect: the server that the Sentinels name, or always the same one. */
  readonly locate: () => SimulatedServer;
  /** Commands that are sent before the first connect wait for it; for connections that ask one question. */
  readonly queues?: boolean;
  readonly process: SimulatedProcess;
  readonly conditions: StoreConditions;
  readonly random: Chance;
  /** Called at each fault of this connection, with its kind. */
  readonly onFault: (kind: string) => void;
}

export class SimulatedConnection {
  status = 'connecting';
  get processName(): string {
    return this.options.process.name;
  }

  /** The server of the present or the last connection. */
  get serverName(): string | undefined {
    return this.session?.server.name;
  }

  private readonly options: ConnectionOptions;
  /** The server's end of the present socket. */
  private session: ServerSession | undefined;
  private readonly listeners = new Map<string, ((...args: never[]) => void)[]>();
  private readonly pending = new Set<Pending>();
  /** Number of the present socket; commands that were sent on an older one are lost. */
  private socket = 0;
  private cutSocket = -1;
  private arrivalMs = 0;
  private replyMs = 0;
  private ended = false;

  constructor(options: ConnectionOptions) {
    this.options = options;
    this.connectAfter(this.delay());
    options.process.onEnd(() => this.die());
  }

  on(event: string, listener: (...args: never[]) => void): this {
    this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener]);
    return this;
  }

  private emit(event: string, ...args: unknown[]): void {
    for (const listener of this.listeners.get(event) ?? []) (listener as (...given: unknown[]) => void)(...args);
  }

  private delay(): number {
    return 0.05 + this.options.random.around(this.options.conditions.delayMs);
  }

  private reachable(): boolean {
    return !this.options.conditions.cutOff.has(this.options.process.name);
  }

  private carries(socket: number): boolean {
    return this.socket === socket && this.cutSocket !== socket;
  }

  private connectAfter(delayMs: number): void {
    const { time, process, locate } = this.options;
    time.after(delayMs, process, 'store connect', () => {
      if (this.ended) return;
      const server = locate();
      if (!server.up || !this.reachable()) {
        const code = server.up ? 'ETIMEDOUT' : 'ECONNREFUSED';
        this.emit('error', Object.assign(new Error(`connect ${code} of the simulated store`), { code }));
        this.close();
        return;
      }
      this.socket += 1;
      this.session = new ServerSession(server, process.label, time);
      this.status = 'ready';
      this.emit('ready');
    });
  }

  /** The socket is closed: as in ioredis every waiting command fails, and the connection is made again. */
  private close(): void {
    this.socket += 1;
    this.session?.close();
    this.status = this.ended ? 'end' : 'reconnecting';
    const waiting = [...this.pending];
    this.pending.clear();
    for (const { settle, count } of waiting) settle(repeated(new Error('Connection is closed.'), count));
    this.emit('close');
    if (!this.ended) this.connectAfter(reconnectDelayMs + this.delay());
  }

  /** The network or the server breaks the connection: nothing passes any more; the client notices after a delay. */
  break(): void {
    const { time, process } = this.options;
    const { socket } = this;
    if (this.status !== 'ready') return;
    this.cutSocket = socket;
    this.session?.close();
    time.after(this.delay(), process, 'store connection closed', () => {
      if (this.socket === socket && this.status === 'ready') this.close();
    });
  }

  disconnect(reconnect = false): void {
    const { time, process } = this.options;
    if (!reconnect) this.ended = true;
    const { socket } = this;
    time.after(0, process, 'store disconnect', () => {
      if (this.socket === socket && this.status !== 'end') this.close();
    });
  }

  private die(): void {
    this.ended = true;
    this.status = 'end';
    // A request that has left the process may still arrive and be run; its reply is dropped.
    if (this.options.random.happens(0.5)) {
      this.socket += 1;
      this.session?.close();
    }
    this.pending.clear();
  }

  send(commands: readonly (readonly string[])[]): Promise<readonly Result[]> {
    if (this.status === 'connecting' && this.options.queues === true) {
      return new Promise((resolve) => {
        this.on('ready', () => resolve(this.send(commands)));
        this.on('close', () => resolve(repeated(new Error('Connection is closed.'), commands.length)));
      });
    }
    if (this.status !== 'ready') {
      const text = "Stream isn't writeable and enableOfflineQueue options is false";
      return Promise.resolve(repeated(new Error(text), commands.length));
    }
    const { time, process, conditions, random, onFault } = this.options;
    return new Promise((resolve) => {
      const { socket } = this;
      const cancelTimeout = time.after(commandTimeoutMs, process, 'store timeout', () => {
        if (this.pending.delete(waiting)) waiting.settle(repeated(new Error('Command timed out'), commands.length));
      });
      const waiting: Pending = {
        count: commands.length,
        settle: (results) => {
          cancelTimeout();
          resolve(results);
        },
      };
      this.pending.add(waiting);
      if (random.happens(conditions.lostRequest)) {
        onFault('store request lost');
        this.break();
        return;
      }
      this.arrivalMs = Math.max(this.arrivalMs, time.nowMs + this.delay());
      time.after(this.arrivalMs - time.nowMs, undefined, 'store request', () => this.arrive(socket, waiting, commands));
    });
  }

  private arrive(socket: number, waiting: Pending, commands: readonly (readonly string[])[]): void {
    const { time, conditions, random, onFault } = this.options;
    const { session } = this;
    if (session === undefined || !this.carries(socket) || !session.server.up) return;
    if (session.server.paused || !this.reachable()) {
      // The request waits in a socket buffer until the server resumes or the network heals.
      time.after(20, undefined, 'store request', () => this.arrive(socket, waiting, commands));
      return;
    }
    session.run(commands, (results) => {
      if (random.happens(conditions.lostReply)) {
        onFault('store reply lost');
        this.break();
        return;
      }
      this.reply(socket, waiting, results);
    });
  }

  private reply(socket: number, waiting: Pending, results: readonly Result[]): void {
    const { time, process } = this.options;
    this.replyMs = Math.max(this.replyMs, time.nowMs + this.delay());
    const deliver = (): void => {
      if (!this.carries(socket)) return;
      if (!this.reachable()) {
        time.after(20, process, 'store reply', deliver);
        return;
      }
      if (this.pending.delete(waiting)) waiting.settle(results);
    };
    time.after(this.replyMs - time.nowMs, process, 'store reply', deliver);
  }
}

const repeated = (error: Error, count: number): Result[] => Array.from({ length: count }, () => [error, undefined]);

/** The connection as an ioredis client for the journal's StoreLink; every command is a method of its name. */
export function asRedis(connection: SimulatedConnection): Redis {
  const one = async (name: string, args: readonly Argument[]): Promise<unknown> => {
    const [first] = await connection.send([[name, ...flat(args)]]);
    const [error, reply] = first as Result;
    if (error !== null) throw error;
    return reply;
  };
  const own: Readonly<Record<string, unknown>> = {
    on: (event: string, listener: (...args: never[]) => void) => connection.on(event, listener),
    disconnect: (reconnect?: boolean) => connection.disconnect(reconnect),
    call: (name: string, ...args: Argument[]) => one(name, args),
    pipeline: (commands: readonly (readonly Argument[])[]) => ({
      exec: () => connection.send(commands.map((command) => flat(command))),
    }),
  };
  return new Proxy(own, {
    get(target, name) {
      if (typeof name !== 'string' || name === 'then') return undefined;
      if (name === 'status') return connection.status;
      return target[name] ?? ((...args: Argument[]) => one(name, args));
    },
  }) as unknown as Redis;
}
