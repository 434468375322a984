/**
 * The in-memory test system: actors of several kinds in one process, for tests of flows between them. Messages are
 * delivered in order, rows are stored, only the rows of `needs` are loaded, effects are performed, and the test
 * controls time. Unlike the runtime, nothing is durable, nothing is lost, and one step is one event.
 */
import { bornOf, moved, stateOf, type Move } from '@photoncloud/machines/values/chart-driver-for-tests';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import type { EffectOutcome } from '@photoncloud/runtime/contract/outcome';
import { PhotonError } from '@photoncloud/runtime/contract/errors';

type Snapshot = Move['snapshot'];
type Event = { readonly type: string; readonly [field: string]: unknown };
type Sent = { readonly to: string; readonly event: Event };

interface Player {
  readonly definition: ActorDefinition;
  snapshot: Snapshot;
  /** Effect type -> function that cancels it. */
  readonly pending: Map<string, AbortController>;
  /** Timer's event type -> due time. */
  readonly timers: Map<string, number>;
  readonly rows: Map<string, unknown>;
}

export interface Answer {
  readonly ok: boolean;
  readonly code?: string;
  readonly message?: string;
  readonly issues?: readonly { readonly path: string; readonly message: string }[];
  readonly result?: unknown;
}

export class InMemoryActors {
  nowMs = 1_000_000;
  readonly hosts = new Map<string, Player>();
  readonly answers = new Map<string, Answer>();
  readonly deadLetters: Sent[] = [];
  readonly unheard: string[] = [];
  private readonly queue: (() => void)[] = [];
  private readonly kinds: ReadonlyMap<string, ActorDefinition>;
  private counter = 0;

  constructor(definitions: readonly ActorDefinition[]) {
    this.kinds = new Map(definitions.map((definition) => [definition.kind, definition]));
  }

  state = (id: string): string | undefined => {
    const player = this.hosts.get(id);
    return player === undefined ? undefined : stateOf(player.snapshot);
  };

  context = (id: string): Readonly<Record<string, unknown>> => this.hosts.get(id)?.snapshot.context ?? {};
  /** What the control API shows of it to principals of its tenant, or to operators. */
  shown(id: string, to: 'tenant' | 'operator'): { readonly spec: unknown; readonly status: unknown } {
    const definition = this.kinds.get(id.split('/')[0] ?? '');
    if (definition === undefined) throw new Error(`there is no kind of ${id}`);
    const view = definition.view(this.context(id) as never);
    return to === 'operator' ? view : (definition.forScope?.(view) ?? view);
  }
  rowsOf = (id: string): ReadonlyMap<string, unknown> => this.hosts.get(id)?.rows ?? new Map<string, unknown>();

  /** Sends a message, as from another actor or the node. */
  tell(to: string, event: Event, from = 'test/system/test'): void {
    this.queue.push(() => this.hear(to, event, { from }));
  }

  /**
   * Sends a command; its answer is stored under the returned id. Params of create, update and apply are the spec,
   * `metadata` their labels and protection.
   */
  ask(to: string, name: string, params: Readonly<Record<string, unknown>> = {}, metadata: object = {}): string {
    const commandId = `c${(this.counter += 1)}`;
    const kind = to.split('/')[0] ?? '';
    const command = this.kinds.get(kind)?.commands[name];
    const given = ['create', 'update', 'apply'].includes(name) ? { spec: params, ...metadata } : params;
    const parsed = command?.params.safeParse(given);
    if (parsed === undefined || !parsed.success)
      throw new Error(`${kind}.${name} refuses ${JSON.stringify(params)}: ${parsed?.error}`);
    const fields = parsed.data as Record<string, unknown>;
    this.queue.push(() => this.hear(to, { type: `${kind}.${name}`, ...fields }, { commandId }));
    return commandId;
  }

  /** Processes messages and effects until nothing is pending, without advancing time. */
  async settle(): Promise<void> {
    for (let idle = 0, steps = 0; idle < 3;) {
      const task = this.queue.shift();
      if (task === undefined) idle += 1;
      else {
        idle = 0;
        task();
      }
      if ((steps += 1) > 20_000) throw new Error('the actors never become idle');
      if (task === undefined) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Timers fire in order of their time. */
  async pass(ms: number): Promise<void> {
    const end = this.nowMs + ms;
    for (;;) {
      await this.settle();
      const due = [...this.hosts].flatMap(([id, player]) => [...player.timers].map(([type, at]) => ({ id, type, at })));
      const next = due.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.nowMs = Math.max(this.nowMs, next.at);
      this.hosts.get(next.id)?.timers.delete(next.type);
      this.hear(next.id, { type: next.type }, {});
    }
    this.nowMs = end;
  }

  private hear(id: string, event: Event, source: { from?: string; commandId?: string }): void {
    const kind = id.split('/')[0] ?? '';
    const definition = this.kinds.get(kind);
    const known = this.hosts.get(id);
    const command = definition?.commands[event.type.slice(kind.length + 1)];
    const mayBegin = source.commandId === undefined ? definition?.createdBy.includes(event.type) : command?.creates;
    if (definition === undefined || (known === undefined && mayBegin !== true)) {
      if (source.commandId === undefined) this.deadLetters.push({ to: id, event });
      else this.answers.set(source.commandId, { ok: false, code: 'not_found' });
      return;
    }
    const misfit = source.commandId === undefined ? definition.check?.(event) : undefined;
    if (misfit !== undefined) throw new Error(`${event.type} to ${id} is malformed: ${misfit}`);
    const player = known ?? this.begin(id, definition);
    const meta = { at: this.nowMs, ulid: `U${(this.counter += 1)}`, ...source, rows: this.load(player, event) };
    this.step(id, player, { ...event, meta }, source.commandId);
  }

  private begin(id: string, definition: ActorDefinition): Player {
    const snapshot = bornOf(definition.machine, id);
    const player = { definition, snapshot, pending: new Map(), timers: new Map(), rows: new Map() };
    this.hosts.set(id, player);
    return player;
  }

  private load(player: Player, event: Event): Record<string, unknown> {
    const rows: Record<string, unknown> = {};
    for (const { collection, key } of player.definition.needs?.(event, player.snapshot.context as never) ?? []) {
      if (key === '*') {
        const all = [...player.rows].filter(([name]) => name.startsWith(`${collection}/`));
        rows[`${collection}/*`] = Object.fromEntries(
          all.map(([name, value]) => [name.slice(collection.length + 1), value]),
        );
      } else rows[`${collection}/${key}`] = player.rows.get(`${collection}/${key}`) ?? null;
    }
    return JSON.parse(JSON.stringify(rows)) as Record<string, unknown>;
  }

  private step(id: string, player: Player, event: Event, commandId: string | undefined): void {
    const move = moved(player.definition.machine, player.snapshot, JSON.parse(JSON.stringify(event)));
    if (move.snapshot === player.snapshot && move.asked.length === 0)
      this.unheard.push(`${id} in ${move.state}: ${event.type}`);
    if (move.snapshot.status === 'error') throw move.snapshot.error;
    player.snapshot = move.snapshot;
    for (const type of move.disarmed) player.timers.delete(type);
    for (const { type, delayMs } of move.armed) player.timers.set(type, this.nowMs + delayMs);
    this.cancelLeft(player, move.state);
    let isOpen = commandId !== undefined;
    for (const { type, params } of move.asked) {
      if (
        ['reply', 'reject', 'defer'].includes(type) &&
        (params as { commandId?: string } | undefined)?.commandId === undefined
      )
        isOpen = false;
      if ((params as { commandId?: string } | undefined)?.commandId === commandId) isOpen = false;
      this.ask1(id, player, type, params as Record<string, unknown>, commandId);
    }
    if (isOpen && commandId !== undefined) this.answers.set(commandId, { ok: true });
    if (move.snapshot.status === 'done') this.end(id, player);
  }

  private ask1(
    id: string,
    player: Player,
    type: string,
    params: Record<string, unknown>,
    commandId: string | undefined,
  ): void {
    if (type === 'send') {
      const { to, event } = JSON.parse(JSON.stringify(params)) as Sent;
      this.queue.push(() => this.hear(to, event, { from: id }));
    } else if (type === 'row.put') player.rows.set(`${params['collection']}/${params['key']}`, params['value']);
    else if (type === 'row.remove') player.rows.delete(`${params['collection']}/${params['key']}`);
    else if (type === 'reply' || type === 'reject') {
      const to = (params['commandId'] as string | undefined) ?? commandId ?? '';
      this.answers.set(to, { ok: type === 'reply', ...params } as Answer);
    } else if (type !== 'defer') this.perform(id, player, type, params);
  }

  private perform(id: string, player: Player, type: string, params: unknown): void {
    player.pending.get(type)?.abort();
    const abort = new AbortController();
    player.pending.set(type, abort);
    const fence = { era: 1, ownerEpoch: 1, version: 1 };
    const context = { effectId: type, actor: id, uid: '', fence, signal: abort.signal, recovered: false };
    const binding = player.definition.effects[type];
    if (binding === undefined) throw new Error(`${id} requests ${type}, which is no effect`);
    const settled = (outcome: EffectOutcome): void => {
      this.queue.push(() => {
        if (abort.signal.aborted || player.pending.get(type) !== abort) return;
        player.pending.delete(type);
        const fields = outcome.result === 'done' ? outcome.payload : { error: outcome.error };
        this.hear(id, { type: `${type}.${outcome.result}`, ...fields }, {});
      });
    };
    binding
      .perform(JSON.parse(JSON.stringify(params ?? {})) as never, context as never)
      .then(settled, (error: unknown) => {
        if (abort.signal.aborted) return;
        if (!(error instanceof PhotonError)) throw error;
        settled({ result: error.record.group === 'unknown' ? 'unknown' : 'failed', error: error.record });
      });
  }

  /** Effects of states that are no longer active. */
  private cancelLeft(player: Player, state: string): void {
    for (const [type, abort] of player.pending) {
      const owners = statesAsking(player.definition.machine.root as unknown as Node, type);
      if (owners.some((owner) => state === owner || state.startsWith(`${owner}.`))) continue;
      abort.abort();
      player.pending.delete(type);
    }
  }

  private end(id: string, player: Player): void {
    for (const abort of player.pending.values()) abort.abort();
    if (player.rows.size > 0) throw new Error(`${id} ends and leaves rows: ${[...player.rows.keys()].join(', ')}`);
    this.hosts.delete(id);
  }
}

interface Node {
  readonly path: readonly string[];
  readonly entry: readonly { readonly type?: string }[];
  readonly states: Readonly<Record<string, Node>>;
}

function statesAsking(node: Node, effect: string): string[] {
  const here = node.entry.some((action) => (action as unknown) === effect || action.type === effect)
    ? [node.path.join('.')]
    : [];
  return [...here, ...Object.values(node.states).flatMap((child) => statesAsking(child, effect))];
}
