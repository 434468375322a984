/**
 * The interface between sessions and methods. A session handles sockets and limits and does not know what a method
 * does; a method does not know sockets.
 */
import type { z } from 'zod';
import type { ActorRegistry, OutputPlace } from '../contract/actor-definition.ts';
import type { SharedClock } from '../contract/clock.ts';
import type { Command, Reply } from '../contract/envelope.ts';
import type { Historian } from '../contract/historian.ts';
import type { Log } from '../contract/log.ts';
import type { NumberedSlots } from '../contract/numbered-slots.ts';
import type { Reader } from '../contract/reader.ts';
import type { Principal } from './access-rule.ts';
import type { ApiLimits } from './api-limits.ts';
import type { HeldBytes } from './byte-budget.ts';
import type { BrowserPasses } from './browser-passes.ts';
import type { ConsoleDoor } from './console-door.ts';
import type { ClusterNodes } from './node-methods.ts';
import type { SecretSealer } from './secret-params.ts';
import type { WatchHub } from './watch-hub.ts';
import type { WatchSubscription } from './watch-subscription.ts';
import type { ApiResult, WatchFrame } from './api-schema.ts';

/** @throws PhotonError what the node of the object refused, or fault `peer_unreachable` and alike */
export type SendInput = (place: OutputPlace, offset: number, bytes: Buffer) => Promise<ApiResult<'actor.put'>>;

/** The ports that methods use; one object per node. */
export interface ApiPorts {
  readonly registry: ActorRegistry;
  readonly reader: Reader;
  readonly historian: Historian;
  readonly node: string;
  /** Without it the methods about nodes do not exist: in tests, and where there is no cluster. */
  readonly nodes?: ClusterNodes | undefined;
  /** Sends a command to the actor's owner and waits for the reply, also when it is deferred. */
  readonly ask: (command: Command) => Promise<Reply>;
  /** Reads what an object prints on its node, as text. @throws PhotonError fault `peer_unreachable` and alike */
  readonly readOutput: (place: OutputPlace) => Promise<string>;
  /** Sends an object bytes from this offset on; resolves when its node has written them. */
  readonly sendInput: SendInput;
  /** Without it commands with a secret are refused. */
  readonly secrets?: SecretSealer | undefined;
  readonly clock: SharedClock;
  readonly log: Log;
  readonly limits: ApiLimits;
  readonly hub: WatchHub;
  readonly passes: BrowserPasses;
  readonly consoles: ConsoleDoor;
  /** Pending waits for replies; each is ended with `unknown` when the node stops. */
  readonly waits: NumberedSlots<() => void>;
}

/** What a method may use of the session that sent the request. */
export interface Caller {
  readonly principal: Principal;
  /** The browser session that opened this one. */
  readonly browser: string | undefined;
  /** W3C traceparent: the client's or a new one. */
  readonly trace: string;
  /** Open watches of the session by their ids. */
  readonly watches: Map<string, WatchSubscription>;
  /** A new id, unique within the session. */
  nextWatchId(): string;
  sendWatchFrame(frame: WatchFrame): void;
  /** False while too many bytes are unsent; the session calls `pump` of its watches when it is true again. */
  maySend(): boolean;
  /** Takes more tokens of the rate of reads: for what costs more than one of them. Never refuses. */
  charge(tokens: number): void;
  /** Does what takes long in a turn of its scope (work-turns.ts): now, or later. */
  inTurn(task: () => void): void;
  /** For something of this session that holds memory. */
  hold(): HeldBytes;
}

/** A result whose JSON text is kept, because it is the same for everybody. */
export class ReadyResult {
  readonly text: string;
  constructor(value: unknown) {
    this.text = JSON.stringify(value);
  }
}

export interface Method {
  readonly params: z.ZodType;
  /** A fast check: true only for params that the schema `params` accepts and returns unchanged. */
  readonly isValid?: (params: object) => boolean;
  /** Commands have a rate limit separate from reads. */
  readonly command: boolean;
  readonly perform: (params: never, caller: Caller) => Promise<unknown> | unknown;
}

export type MethodTable = ReadonlyMap<string, Method>;

export const method = <S extends z.ZodType>(
  params: S,
  perform: (params: z.output<S>, caller: Caller) => Promise<unknown> | unknown,
): Method => ({ params, command: false, perform: perform as Method['perform'] });
