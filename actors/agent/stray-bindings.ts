/**
 * Bindings of a host that their ports do not have: the record of the port was lost, or names other hosts. Read from the
 * store by the worker, in rounds; the port decides what becomes of them (machines/port). A port names a host in its
 * record before its binding is asked for anything, and as long as the binding has not ended, so of the two records read
 * one after the other, binding first, the second tells which bindings nobody will ever remove.
 *
 * A round reads one short text for each binding and port. Only pairs of which one has committed since an earlier round
 * are read as a whole: a host on which nothing changes costs the store two fields for each of its bindings.
 */
import type { BindingContext } from '@photoncloud/machines/binding/binding-messages';
import type { FoundBinding } from '@photoncloud/machines/binding/binding-protocol';
import { hostNames, type PortContext } from '@photoncloud/machines/port/port-context';
import { idOf, partsOfId } from '@photoncloud/machines/values/identifiers';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { actorId, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import type { Reader } from '@photoncloud/runtime/contract/reader';

/** A port that is held by an operator answers late: it is not asked again before this time. */
const askAgainMs = 60_000;
/** In one round; the next one takes the others. */
const foundAtMost = 1_000;
const readsAtOnce = 32;

interface Seen {
  readonly stamps: string;
  /** Infinity when the port has it. */
  readonly readAgainMs: number;
}

/** What a worker reads of the store. */
interface Source extends Pick<Reader, 'get'> {
  /** Ids of the live actors pinned to a host. */
  idsOnHost(host: string): Promise<readonly ActorId[]>;
  /** For each actor a text that is another one after each of its commits; undefined when there is no such actor. */
  stampsOf(ids: readonly ActorId[]): Promise<readonly (string | undefined)[]>;
}

const portOf = (binding: ActorId): ActorId => {
  const { tenant, name } = partsOfId(binding);
  return actorId(idOf('port', tenant, name));
};

/** One record that a person or a disk has spoilt must not hide the others; its actor is quarantined, which is shown. */
function unlessUnreadable(error: unknown): undefined {
  if (error instanceof PhotonError && error.record.code === 'record_unreadable') return;
  throw error;
}

export class StrayBindings {
  private readonly host: string;
  private readonly reader: Source;
  private readonly nowMs: () => number;
  private seen = new Map<ActorId, Seen>();

  /** @param nowMs monotonic */
  constructor(host: string, reader: Source, nowMs: () => number) {
    this.host = host;
    this.reader = reader;
    this.nowMs = nowMs;
  }

  /** One round. @throws when the store cannot be read */
  async find(): Promise<readonly FoundBinding[]> {
    const changed = await this.readStamps();
    const found: FoundBinding[] = [];
    for (let from = 0; from < changed.length && found.length < foundAtMost; from += readsAtOnce) {
      const reads = changed.slice(from, from + readsAtOnce).map(async ({ binding, stamps }) => {
        const stray = await this.read(binding).catch(unlessUnreadable);
        this.seen.set(binding, { stamps, readAgainMs: stray === undefined ? Infinity : this.nowMs() + askAgainMs });
        if (stray !== undefined) found.push(stray);
      });
      await Promise.all(reads);
    }
    return found;
  }

  /** Forgets bindings that have ended. @returns those that must be read */
  private async readStamps(): Promise<readonly { readonly binding: ActorId; readonly stamps: string }[]> {
    const bindings = (await this.reader.idsOnHost(this.host)).filter((id) => partsOfId(id).kind === 'binding');
    const stamps = await this.reader.stampsOf([...bindings, ...bindings.map(portOf)]);
    const known = this.seen;
    this.seen = new Map();
    return bindings.flatMap((binding, at) => {
      const both = `${stamps[at]} ${stamps[bindings.length + at]}`;
      const before = known.get(binding);
      if (before?.stamps !== both || before.readAgainMs <= this.nowMs()) return [{ binding, stamps: both }];
      this.seen.set(binding, before);
      return [];
    });
  }

  /** Undefined when its port has it, or when it ends already. */
  private async read(binding: ActorId): Promise<FoundBinding | undefined> {
    const stored = await this.live(binding);
    const { spec = null } = (stored?.context ?? {}) as Partial<BindingContext>;
    if (stored === undefined || spec === null || Object.hasOwn(Object(stored.state), 'removing')) return undefined;
    const port = portOf(binding);
    const owner = await this.live(port);
    if (owner !== undefined && hostNames(owner.context as PortContext).includes(this.host)) return undefined;
    const { vpc, network, address, pairs = [] } = spec;
    const { runEpoch } = spec.owner;
    return { port, runEpoch, vpc, network, address, pairs: pairs.map((pair) => pair.address) };
  }

  private async live(id: ActorId): Promise<StoredActor | undefined> {
    const actor = await this.reader.get(id);
    return actor?.status === 'live' ? actor : undefined;
  }
}
