/**
 * The nodes of the cluster as this node knows them: their records, and which are alive. Every beat of
 * cluster-membership.ts passes in what it has read; the roster reports changes. It decides nothing about shards.
 */
import type { StoreLink } from '../journal/store-link.ts';
import type { StoreKeys } from '../journal/store-keys.ts';
import { BeatObserver, type LookTime } from './beat-observer.ts';

export interface NodeRecord {
  readonly name: string;
  readonly role: 'controller' | 'worker';
  /** Address of its peer server; empty when it accepts no links. */
  readonly peerUrl: string;
  /** Unique per process start. */
  readonly boot: string;
  /** Counts the joins of the whole cluster: of two processes with one node name the later one has the higher number. */
  readonly joinNumber?: number;
  /** The node is handing its shards over and takes no more. */
  readonly leaving?: true;
  /** When its certificate was issued, and when it expires: wall times in ms. Absent without certificates. */
  readonly issuedMs?: number;
  readonly expiresMs?: number;
  /** The surrogate owner's grant of this node's host shard, written when the fenced node is empty (node-fencing.ts). */
  readonly emptied?: string;
}

export interface NodeEvent {
  /** `joined` is also reported for a node that was there before this one, and again after each restart. */
  readonly event: 'joined' | 'silent' | 'back' | 'left';
  readonly node: NodeRecord;
}

export interface RosterOptions {
  /** The name of this node: it counts as alive and causes no events. */
  readonly self: string;
  readonly silenceMs: number;
  readonly longestGapMs: number;
  readonly onNode: (event: NodeEvent) => void;
  /** Whether the node was removed: its record counts for nothing, and it is not alive. */
  readonly isRefused: (record: NodeRecord) => boolean;
}

export class NodeRoster {
  readonly #options: RosterOptions;
  readonly #observer: BeatObserver;
  #records = new Map<string, NodeRecord>();

  constructor(options: RosterOptions) {
    this.#options = options;
    this.#observer = new BeatObserver(options.silenceMs, options.longestGapMs);
  }

  /** @param stored node -> record JSON @param counters node -> beat counter */
  look(when: LookTime, stored: Readonly<Record<string, string>>, counters: Readonly<Record<string, string>>): void {
    const { self, onNode, isRefused } = this.#options;
    const before = this.#records;
    const changes = this.#observer.look(when, counters);
    this.#records = new Map();
    for (const [name, text] of Object.entries(stored)) {
      const record = nodeRecordOf(name, text) ?? before.get(name);
      if (record !== undefined && !isRefused(record)) this.#records.set(name, record);
    }
    for (const [name, node] of before) if (!this.#records.has(name)) onNode({ event: 'left', node });
    for (const [name, node] of this.#records) {
      if (name !== self && before.get(name)?.boot !== node.boot) onNode({ event: 'joined', node });
    }
    for (const event of ['silent', 'back'] as const) {
      for (const name of changes[event]) {
        const node = this.#records.get(name);
        if (node !== undefined && name !== self) onNode({ event, node });
      }
    }
  }

  isAlive(name: string): boolean {
    return name === this.#options.self || (this.#records.has(name) && this.#observer.isAlive(name));
  }

  /**
   * Whether the node was silent and its counter has not changed until this one was read, or whether it has no counter.
   */
  isSilentAt(name: string, counter: string | undefined): boolean {
    return counter === undefined || this.#observer.isSilentAt(name, counter);
  }

  find(name: string): NodeRecord | undefined {
    return this.#records.get(name);
  }

  nodes(): readonly (NodeRecord & { readonly alive: boolean })[] {
    return [...this.#records.values()].map((node) => ({ ...node, alive: this.isAlive(node.name) }));
  }

  /** Controllers that are alive and not leaving, this node included if it is one. */
  staying(): readonly string[] {
    const able = this.nodes().filter(({ role, alive, leaving }) => role === 'controller' && alive && leaving !== true);
    return able.map(({ name }) => name);
  }

  /** Whether a node may be given shards: it has beaten for a while. */
  isSteady(name: string): boolean {
    return name === this.#options.self || this.#observer.isSteady(name);
  }
}

/** @returns undefined when the text is no record of this node; the node itself writes it again at its next beat */
export function nodeRecordOf(name: string, text: string): NodeRecord | undefined {
  try {
    const record = JSON.parse(text) as NodeRecord | null;
    return record?.name === name ? record : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Writes the record of this node, at its start or after a store rollback. No record has a joinNumber above the counter,
 * also in a store that was rolled back: a later process of this name would get one that was given before, and take
 * itself for the older of the two. @returns its joinNumber
 */
export async function registerNode(
  link: StoreLink,
  keys: StoreKeys,
  { name, role, peerUrl, boot, joinNumber: known, issuedMs, expiresMs }: NodeRecord,
): Promise<number> {
  const count = (by: number): Promise<number> => link.run((redis) => redis.hincrby(keys.cluster, 'joins', by));
  let joinNumber = known;
  if (joinNumber === undefined) joinNumber = await count(1);
  else {
    const reached = await count(0);
    if (reached < joinNumber) await count(joinNumber - reached);
  }
  const record = JSON.stringify({ name, role, peerUrl, boot, joinNumber, issuedMs, expiresMs });
  await link.run((redis) => redis.hset(keys.nodes, name, record));
  return joinNumber;
}
