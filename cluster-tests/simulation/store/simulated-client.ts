/**
 * The client library's surface over a simulated server: a connection of one process, with delays, lost replies,
 * resets and reconnects from the seed. Keeps ioredis's contract as the strict settings of
 * runtime/journal/store-connection.ts leave it: commands of one connection run in order, nothing is queued while it
 * is not ready, nothing is sent twice, a command without a reply in time is lost.
 */
import type { Redis } from 'ioredis';
import type { Chance } from '../seeded-random.ts';
import type { SimulatedProcess } from '../simulated-process.ts';
import type { VirtualTime } from '../virtual-time.ts';
import { BoxSession, type Result } from './box-session.ts';
import type { SimulatedServer } from './simulated-server.ts';

export interface StoreConditions {
  /** One way, mean, ms. */
  delayMs: number;
  /** Per request: the connection breaks before it arrives; after it was run, before the reply arrives. */
  lostRequest: number;
  lostReply: number;
  /** Label of a process that cannot reach the store now. */
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
  /** Asked at each connect: whom the Sentinels name, or always the same server. */
  readonly locate: () => SimulatedServer;
  /** What is sent before it is connected waits for that: a connection for one question. */
  readonly queues?: boolean;
  readonly process: SimulatedProcess;
  readonly conditions: StoreConditions;
  readonly random: Chance;
  /** Faults by kind that this connection met. */
  readonly onFault: (kind: string) => void;
}

export class SimulatedConnection {
  status = 'connecting';
  get processName(): string {
    return this.options.process.name;
  }

  /** The one it is or was last connected to. */
  get serverName(): string | undefined {
    return this.session?.server.name;
  }

  private readonly options: ConnectionOptions;
  /** The server's end of the present socket. */
  private session: BoxSession | undefined;
  private readonly listeners = new Map<string, ((...args: never[]) => void)[]>();
  private readonly pending = new Set<Pending>();
  /** Grows with every socket; what was sent on an older one is lost. */
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
      this.session = new BoxSession(server, process.label, time);
      this.status = 'ready';
      this.emit('ready');
    });
  }

  /** The socket is gone; ioredis tells every waiting command and connects again. */
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

  /** The network or the server broke the connection: nothing passes any more, and it is noticed a moment later. */
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
    // What had left the process may still arrive: only the reply has nobody to go to.
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
        onFault('request lost');
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
      // In a socket buffer, until the server or the network goes on.
      time.after(20, undefined, 'store request', () => this.arrive(socket, waiting, commands));
      return;
    }
    session.run(commands, (results) => {
      if (random.happens(conditions.lostReply)) {
        onFault('reply lost');
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

/** As the journal's StoreLink wants it. Any command may be called by its name. */
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
