/**
 * The nodes of the cluster as this one knows them: their records, and which are alive. Fed with what every beat of
 * cluster-membership.ts has read; tells changes. It decides nothing about shards.
 */
import type { StoreLink } from '../journal/store-link.ts';
import type { StoreKeys } from '../journal/store-keys.ts';
import { BeatObserver, type LookTime } from './beat-observer.ts';

export interface NodeRecord {
  readonly name: string;
  readonly role: 'controller' | 'worker';
  /** Where peers reach it; empty when it takes no links. */
  readonly peerUrl: string;
  /** Unique per process start. */
  readonly boot: string;
  /** Counts the joins of the whole cluster: of two processes of one name the later one has more. */
  readonly joinNumber?: number;
  /** It hands its shards over and takes no more. */
  readonly leaving?: true;
  /** Text of the grant, another's, under which it has found itself fenced and holds nothing (node-fencing.ts). */
  readonly emptied?: string;
}

export interface NodeEvent {
  /** `joined` also for a node that was there before us, and again when it has restarted. */
  readonly event: 'joined' | 'silent' | 'back' | 'left';
  readonly node: NodeRecord;
}

export interface RosterOptions {
  /** This node's name: it is alive, and no events are told about it. */
  readonly self: string;
  readonly silenceMs: number;
  readonly longestGapMs: number;
  readonly onNode: (event: NodeEvent) => void;
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
    const { self, onNode } = this.#options;
    const before = this.#records;
    const changes = this.#observer.look(when, counters);
    this.#records = new Map();
    for (const [name, text] of Object.entries(stored)) {
      const record = nodeRecordOf(name, text) ?? before.get(name);
      if (record !== undefined) this.#records.set(name, record);
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
   * Whether the node has stood still from when it was found silent until this counter was read, or is off the list of
   * those that beat.
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

  /** Controllers that are alive and stay, this node too if it is one. */
  staying(): readonly string[] {
    const able = this.nodes().filter(({ role, alive, leaving }) => role === 'controller' && alive && leaving !== true);
    return able.map(({ name }) => name);
  }

  /** Whether a node may be given shards: it was seen to live for a while. */
  isSteady(name: string): boolean {
    return name === this.#options.self || this.#observer.isSteady(name);
  }
}

/** @returns undefined for what is no record of this node: its node writes it anew with its next beat */
export function nodeRecordOf(name: string, text: string): NodeRecord | undefined {
  try {
    const record = JSON.parse(text) as NodeRecord | null;
    return record?.name === name ? record : undefined;
  } catch {
    return undefined;
  }
}

/** Puts this node on the list, or on it again when the store has gone back to before it was. @returns its life */
export async function registerNode(
  link: StoreLink,
  keys: StoreKeys,
  { name, role, peerUrl, boot, joinNumber: known }: NodeRecord,
): Promise<number> {
  const joinNumber = known ?? (await link.run((redis) => redis.hincrby(keys.cluster, 'joins', 1)));
  const record = JSON.stringify({ name, role, peerUrl, boot, joinNumber });
  await link.run((redis) => redis.hset(keys.nodes, name, record));
  return joinNumber;
}
