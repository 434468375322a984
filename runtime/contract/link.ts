/**
 * Between nodes: hosting hands messages out and takes them in through this port; runtime/transport binds it to
 * WebSocket.
 */
import type { Command, Message, Reply } from './envelope.ts';
import type { ActorId } from './identifiers.ts';

/**
 * The receiver's answer to one message. `moved`: ask the directory again. `gap`: send the earlier ones first. `busy`:
 * send it again later.
 */
export type Delivery =
  | { readonly result: 'applied' }
  | { readonly result: 'gap' }
  | { readonly result: 'moved' }
  | { readonly result: 'busy'; readonly retryAfterMs: number };

/** What a node offers to its peers; hosting implements it. `applied` is said only after the commit is durable. */
export interface Inlet {
  deliver(message: Message): Promise<Delivery>;
  command(command: Command): Promise<Reply | { readonly moved: true }>;
}

/**
 * What a node may ask of its peers; transport implements it. A promise that rejects means unknown: ask again, same
 * ids.
 */
export interface Outlet {
  deliver(node: string, message: Message): Promise<Delivery>;
  command(node: string, command: Command): Promise<Reply | { readonly moved: true }>;
}

/** Who owns which shard just now; a hint, the store decides. */
export interface Directory {
  ownerOf(id: ActorId): string | undefined;
  /** Reads the map again; called after `moved` or a failed delivery. */
  refresh(): Promise<void>;
  /** Calls the listener after some shard was granted anew, also to the same node, as far as this node knows. */
  onChange?(listener: () => void): void;
}
