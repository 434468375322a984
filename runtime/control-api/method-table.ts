/**
 * What a method is, and who may be asking: the seam between sessions (sockets, limits) and methods (meaning).
 * A method knows no socket; a session knows no meaning.
 */
import type { z } from 'zod';
import type { ActorRegistry } from '../contract/actor-definition.ts';
import type { Clock } from '../contract/clock.ts';
import type { Command, Reply } from '../contract/envelope.ts';
import type { Historian } from '../contract/historian.ts';
import type { Log } from '../contract/log.ts';
import type { NumberedSlots } from '../contract/numbered-slots.ts';
import type { Reader } from '../contract/reader.ts';
import type { Principal } from './access-rule.ts';
import type { ApiLimits } from './api-limits.ts';
import type { BrowserPasses } from './browser-passes.ts';
import type { WatchHub } from './watch-hub.ts';
import type { WatchSubscription } from './watch-subscription.ts';
import type { WatchFrame } from './api-schema.ts';

/** What methods stand on; one per node. */
export interface ApiPorts {
  readonly registry: ActorRegistry;
  readonly reader: Reader;
  readonly historian: Historian;
  readonly node: string;
  /** Routes a command to the owner and waits for its reply, deferred ones included. */
  readonly ask: (command: Command) => Promise<Reply>;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: ApiLimits;
  readonly hub: WatchHub;
  readonly passes: BrowserPasses;
  /** Ends each wait for a reply as unknown; called when the node stops. */
  readonly waits: NumberedSlots<() => void>;
}

/** One request's view of its session. */
export interface Caller {
  readonly principal: Principal;
  /** W3C traceparent, the caller's or minted. */
  readonly trace: string;
  /** Open watches of the session by their ids. */
  readonly watches: Map<string, WatchSubscription>;
  /** Minted per session, unique within it. */
  nextWatchId(): string;
  sendWatchFrame(frame: WatchFrame): void;
  /** False while too much is unsent; the session pumps its watches when it is true again. */
  maySend(): boolean;
}

export interface Method {
  readonly params: z.ZodType;
  /** True only for params that `params` would pass on as they are; spares those the schema. */
  readonly isValid?: (params: object) => boolean;
  /** Commands have rates of their own. */
  readonly command: boolean;
  readonly perform: (params: never, caller: Caller) => Promise<unknown> | unknown;
}

export type MethodTable = ReadonlyMap<string, Method>;

export const method = <S extends z.ZodType>(
  params: S,
  perform: (params: z.output<S>, caller: Caller) => Promise<unknown> | unknown,
): Method => ({ params, command: false, perform: perform as Method['perform'] });
