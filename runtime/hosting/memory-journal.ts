/**
 * Test support: the journal contract in memory, for tests of hosting that need no store. Never used in production.
 * Honours ownership, versions, watermarks, commit ids and receipts; everything passes through JSON, as in a real store.
 * It outlives the hosts it is given to, so a test "restarts" a node by making a new host on the same journal. Faults on
 * demand: `hold` keeps commits from settling, `refuseNext` answers one of them as told, `loseNext` applies it and then
 * fails.
 */
import { durabilities, strongerOf, type Durability, type DurabilityOffer } from '../contract/durability.ts';
import { PhotonError } from '../contract/errors.ts';
import type { ActorId, ShardId } from '../contract/identifiers.ts';
import { partsOf } from '../contract/identifiers.ts';
import type {
  Commit,
  CommitOutcome,
  HistoryEntry,
  Journal,
  Receipt,
  ShardBacklog,
  ShardGrant,
  StoredActor,
} from '../contract/journal.ts';
import type { Message } from '../contract/envelope.ts';
import { sequenceOf } from '../contract/deduplication-watermark.ts';
import type { StoredDeadLetter } from '../contract/supervision.ts';

interface Stored {
  actor: StoredActor;
  commitId: string;
}

const copy = <Value>(value: Value): Value => JSON.parse(JSON.stringify(value)) as Value;
const sameGrant = (one: ShardGrant, other: ShardGrant | undefined): boolean =>
  one.era === other?.era && one.ownerEpoch === other.ownerEpoch && one.node === other.node;

export class MemoryJournal implements Journal {
  readonly durability: DurabilityOffer = { default: 'fsync', offered: durabilities };
  readonly actors = new Map<ActorId, Stored>();
  readonly receipts = new Map<string, Receipt>();
  readonly history = new Map<ActorId, HistoryEntry[]>();
  readonly outbox = new Map<string, Message>();
  readonly rows = new Map<string, unknown>();
  keptDeadLetters: StoredDeadLetter[] = [];
  readonly commits: Commit[] = [];
  readonly shards: number;
  /** Of the grants given from now on; a test that rewinds what is stored raises it. */
  era = 1;
  receiptReads = 0;
  outboxReads = 0;
  loads = 0;
  private readonly owners = new Map<ShardId, ShardGrant>();
  private ordinal = 0;
  private places = 0;
  private held: (() => void)[] | undefined;
  private refusal: CommitOutcome | undefined;
  private losing = false;

  constructor(shards = 4) {
    this.shards = shards;
  }

  /** Makes a node the owner of every shard, one epoch above the last. */
  own(node: string): ShardGrant[] {
    const grants: ShardGrant[] = [];
    for (let index = 0; index < this.shards; index += 1) grants.push(this.ownOne(node, `s${index}` as ShardId));
    return grants;
  }

  ownOne(node: string, shard: ShardId): ShardGrant {
    const grant = { shard, node, era: this.era, ownerEpoch: (this.owners.get(shard)?.ownerEpoch ?? 0) + 1 };
    this.owners.set(shard, grant);
    return grant;
  }

  ownerOf(id: ActorId): string | undefined {
    return this.owners.get(this.shardOf(id))?.node;
  }

  /** Commits are neither applied nor answered until `free`. */
  hold(): void {
    this.held ??= [];
  }

  free(): void {
    const { held } = this;
    this.held = undefined;
    for (const settle of held ?? []) settle();
  }

  get heldCommits(): number {
    return this.held?.length ?? 0;
  }

  refuseNext(outcome: CommitOutcome): void {
    this.refusal = outcome;
  }

  loseNext(): void {
    this.losing = true;
  }

  commit(commit: Commit): Promise<CommitOutcome> {
    if (commit.version < 1)
      return Promise.reject(new PhotonError('bug', 'commit_malformed', `${commit.actor} has no version`));
    const { refusal } = this;
    this.refusal = undefined;
    if (this.held !== undefined) {
      const { held } = this;
      return new Promise((resolve) => held.push(() => resolve(refusal ?? this.apply(commit))));
    }
    const outcome = refusal ?? this.apply(commit);
    if (this.losing) {
      this.losing = false;
      return Promise.reject(new Error('the reply was lost'));
    }
    return new Promise((resolve) => setImmediate(() => resolve(outcome)));
  }

  private apply(commit: Commit): CommitOutcome {
    const owner = this.owners.get(commit.grant.shard);
    if (!sameGrant(commit.grant, owner)) return { result: 'fenced' };
    const known = this.actors.get(commit.actor);
    if (known?.commitId === commit.commitId)
      return { result: 'committed', ordinal: this.ordinal, durability: commit.durability };
    const storedVersion = known?.actor.version ?? 0;
    if (storedVersion !== commit.expectedVersion) return { result: 'conflict', storedVersion };
    const watermarks: Record<string, number> = { ...known?.actor.watermarks };
    for (const { sender, seq, after } of commit.watermarks) {
      const watermark = watermarks[sender] ?? 0;
      if (seq <= watermark) return { result: 'duplicate', sender };
      if (after > watermark) return { result: 'gap', sender };
      watermarks[sender] = seq;
    }
    for (const watermark of commit.watermarksPruned) delete watermarks[watermark];
    const commandId = commit.unproven.find((id) => this.receipts.has(`${commit.actor} ${id}`));
    if (commandId !== undefined) return { result: 'answered', commandId };
    this.write(commit, watermarks);
    this.ordinal += 1;
    return { result: 'committed', ordinal: this.ordinal, durability: commit.durability };
  }

  private write(commit: Commit, watermarks: Record<string, number>): void {
    this.commits.push(copy(commit));
    const {
      actor: id,
      uid,
      status,
      version,
      chartVersion,
      schemaHash,
      effects,
      timers,
      deferred,
      lastSeq,
      prunedUid,
      hold,
    } = commit;
    const state: unknown = JSON.parse(commit.state);
    const context: unknown = JSON.parse(commit.context);
    const actor = {
      id,
      uid,
      status,
      version,
      chartVersion,
      schemaHash,
      state,
      context,
      effects,
      timers,
      deferred,
      lastSeq,
      watermarks,
      prunedUid,
      ...(hold === undefined ? {} : { hold }),
    };
    this.actors.set(id, { actor: copy(actor), commitId: commit.commitId });
    for (const receipt of commit.receipts) this.receipts.set(`${id} ${receipt.commandId}`, copy(receipt));
    const history = this.history.get(id) ?? [];
    history.push(...copy(commit.history));
    this.history.set(id, history);
    for (const message of commit.messages) this.outbox.set(`${message.from} ${message.seq}`, copy(message));
    for (const seq of commit.ackedSeqs) this.outbox.delete(`${id} ${seq}`);
    for (const row of commit.rowsPut) this.rows.set(`${id} ${row.collection}/${row.key}`, JSON.parse(row.value));
    for (const row of commit.rowsRemoved) this.rows.delete(`${id} ${row.collection}/${row.key}`);
    if (status === 'removed')
      for (const name of this.rows.keys()) if (name.startsWith(`${id} `)) this.rows.delete(name);
    this.keptDeadLetters = this.keptDeadLetters.filter(({ place }) => !commit.deadLettersGone.includes(place));
    for (const deadLetter of copy(commit.deadLetters)) {
      this.places += 1;
      this.keptDeadLetters.push({ ...deadLetter, actor: id, place: String(this.places) });
    }
  }

  async load(id: ActorId): Promise<StoredActor | undefined> {
    this.loads += 1;
    await turn();
    const known = this.actors.get(id);
    return known === undefined ? undefined : copy(known.actor);
  }

  async loadRows(
    id: ActorId,
    keys: readonly { collection: string; key: string }[],
  ): Promise<Readonly<Record<string, unknown>>> {
    await turn();
    const read: Record<string, unknown> = {};
    for (const { collection, key } of keys) {
      const name = `${collection}/${key}`;
      read[name] = key === '*' ? this.collection(`${id} ${collection}/`) : (this.rows.get(`${id} ${name}`) ?? null);
    }
    return copy(read);
  }

  private collection(start: string): Readonly<Record<string, unknown>> {
    const rows = [...this.rows].filter(([name]) => name.startsWith(start));
    return Object.fromEntries(rows.map(([name, value]) => [name.slice(start.length), value]));
  }

  async isHeld(grant: ShardGrant): Promise<boolean> {
    await turn();
    return sameGrant(grant, this.owners.get(grant.shard));
  }

  async receipt(id: ActorId, commandId: string, asked?: Durability): Promise<Receipt | undefined> {
    this.receiptReads += 1;
    // As a reply on its way: what it says may be overtaken by a commit.
    const found = this.receipts.get(`${id} ${commandId}`);
    await turn();
    const durability = strongerOf(asked, this.durability.default);
    return found === undefined ? undefined : { ...found, reply: { ...found.reply, durability } };
  }

  async deadLetters(id: ActorId): Promise<readonly StoredDeadLetter[]> {
    await turn();
    return copy(this.keptDeadLetters.filter(({ actor }) => actor === id));
  }

  async backlog(grant: ShardGrant): Promise<ShardBacklog> {
    await turn();
    const here = [...this.actors.values()]
      .map(({ actor }) => actor)
      .filter((actor) => this.shardOf(actor.id) === grant.shard);
    return copy({
      outbox: [...this.outbox.values()].filter((message) => this.shardOf(message.from) === grant.shard).reverse(),
      timers: here.flatMap((actor) => actor.timers.map((timer) => ({ ...timer, actor: actor.id }))),
      busy: here.filter((actor) => actor.effects.length > 0).map((actor) => actor.id),
    });
  }

  async endedSequences(watermarks: readonly string[]): Promise<readonly string[]> {
    await turn();
    return watermarks.filter((watermark) => {
      const { from, senderUid } = sequenceOf(watermark);
      const sender = this.actors.get(from)?.actor;
      const isOver = sender !== undefined && (sender.status === 'removed' || sender.uid !== senderUid);
      return (
        isOver && ![...this.outbox.values()].some((message) => message.from === from && message.senderUid === senderUid)
      );
    });
  }

  async isOutstanding({ from, senderUid, era, seq }: Message): Promise<boolean> {
    this.outboxReads += 1;
    await turn();
    const row = this.outbox.get(`${from} ${seq}`);
    return row?.senderUid === senderUid && row.era === era;
  }

  async forgetMessages(grant: ShardGrant, rows: readonly { from: ActorId; seq: number }[]): Promise<void> {
    await turn();
    if (!sameGrant(grant, this.owners.get(grant.shard))) return;
    for (const { from, seq } of rows) this.outbox.delete(`${from} ${seq}`);
  }

  shardOf(id: ActorId): ShardId {
    const { host } = partsOf(id);
    if (host !== undefined) return `host:${host}` as ShardId;
    let hash = 0;
    for (let index = 0; index < id.length; index += 1) hash = (hash * 31 + id.charCodeAt(index)) % 65_521;
    return `s${hash % this.shards}` as ShardId;
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
