/**
 * Watches everything that can grow in a simulated cluster (G11): every input that a host admits or refuses, and all
 * hosts after every write of the store. Judged by cluster-tests/checkers/kept-bounds.ts; used by runtime-scenario.ts.
 */
import type { Command, Message, Reply } from '@photoncloud/runtime/contract/envelope';
import type { Delivery } from '@photoncloud/runtime/contract/link';
import { defaultLimits, type HostLimits } from '@photoncloud/runtime/hosting/host-limits';
import type { ActorId } from '@photoncloud/runtime/contract/identifiers';
import { endOfUid } from '@photoncloud/runtime/journal/record-decoding';
import { shardOf } from '@photoncloud/runtime/journal/shard-placement';
import { defaultPrefix, storeKeys } from '@photoncloud/runtime/journal/store-keys';
import {
  checkEntry,
  checkFigures,
  checkWatermarks,
  checkRefusal,
  checkStreams,
  refusalOf,
  type WatermarkedSender,
} from '../checkers/kept-bounds.ts';
import { archiveCap, type SimulatedNode } from './simulated-node.ts';
import type { Simulation } from './simulation.ts';
import type { StoreEntry } from './store/simulated-server.ts';

const keys = storeKeys(defaultPrefix);
/**
 * How long a receiver may keep too many watermarks: pruning them needs reads of the store, which may be unreachable.
 */
const pruneWithinMs = 15_000;

/** A full node still takes these, because the actors that fill it may be waiting for them. */
const isExemptFromOverload = ({ principal, event }: Command): boolean =>
  principal === 'system' || event.type.startsWith('actor.');

export class BoundsWatch {
  private readonly simulation: Simulation;
  private readonly limits: HostLimits;
  /** Keys of records with too many watermarks: since when they have too many, and when that was last seen. */
  private readonly overLimit = new Map<string, { readonly sinceMs: number; readonly seenMs: number }>();

  constructor(simulation: Simulation) {
    this.simulation = simulation;
    this.limits = { ...defaultLimits, ...simulation.options.limits };
    simulation.store.onWrite((entry) => this.checkWrite(entry));
  }

  private checkWrite({ effects }: StoreEntry): void {
    const { server } = this.simulation;
    for (const { host } of this.simulation.nodes()) this.report(checkFigures(host.figures(), this.limits));
    const lengthOf = (key: string): number => server.space.stream(key)?.entries.length ?? 0;
    const historyEntries = this.simulation.options.archive === undefined ? undefined : archiveCap;
    this.report(checkStreams(effects, lengthOf, historyEntries));
    for (const [verb, key = '', ...fields] of effects) {
      if (verb === 'HSET' && key.includes('}:a:') && fields.some((field) => field.startsWith('m:')))
        this.checkWatermarksOf(key);
    }
  }

  private checkWatermarksOf(key: string): void {
    const { simulation, limits } = this;
    const watermarks = [...(simulation.server.space.hash(key)?.keys() ?? [])].filter((field) => field.startsWith('m:'));
    // This runs at every message; with so few watermarks no limit can be exceeded.
    if (watermarks.length <= limits.watermarks) return void this.overLimit.delete(key);
    const senders = watermarks.map((watermark) => this.senderOf(watermark.slice('m:'.length)));
    // Ends are times of the shared clock, which falls behind when the clock of the store steps back.
    const sharedMs = Math.min(...simulation.nodes().map(({ clock }) => clock.sharedMs()));
    const soonMs = sharedMs - limits.watermarkGraceMs;
    const broken = checkWatermarks(key, senders, soonMs, limits.watermarks);
    if (broken.length === 0) return void this.overLimit.delete(key);
    const { nowMs } = simulation.time;
    const known = this.overLimit.get(key);
    // Messages make a receiver prune: one that had none for so long begins again.
    const sinceMs = known === undefined || nowMs - known.seenMs > pruneWithinMs ? nowMs : known.sinceMs;
    this.overLimit.set(key, { sinceMs, seenMs: nowMs });
    if (nowMs - sinceMs > pruneWithinMs) this.report(broken);
  }

  private senderOf(watermark: string): WatermarkedSender {
    const { space } = this.simulation.server;
    const [from, senderUid] = watermark.split('~') as [ActorId, string];
    const keyOf = (what: string): string => keys.inShard(shardOf(from), what);
    const endedMs = endOfUid(from, space.hash(keyOf(`a:${from}`))?.get('head') ?? null, senderUid);
    const rows = [...(space.hash(keyOf('q')) ?? [])].filter(([field]) => field.startsWith(`${from}|`));
    return {
      sender: from,
      endedMs,
      isSending: rows.some(([, text]) => (JSON.parse(text) as Message).senderUid === senderUid),
    };
  }

  /** Called when a node has started; the node's own calls to its host come through here as well. */
  watch({ host }: SimulatedNode): void {
    const admitted = <Answer extends Delivery | Reply | { readonly moved: true }>(
      enter: () => Promise<Answer>,
      isCommand: boolean,
    ): Promise<Answer> => {
      const before = host.figures();
      const answered = enter();
      this.report(checkEntry(before, host.figures(), this.limits, isCommand));
      return answered.then((answer) => {
        const refusal = refusalOf(answer);
        if (refusal === undefined) return answer;
        this.simulation.reach(`an input refused as ${refusal.word}`);
        this.report(checkRefusal(refusal));
        return answer;
      });
    };
    const deliver = host.deliver.bind(host);
    const command = host.command.bind(host);
    Object.assign(host, {
      deliver: (message: Message) => admitted(() => deliver(message), false),
      command: (asked: Command) => admitted(() => command(asked), !isExemptFromOverload(asked)),
    });
  }

  private report(broken: readonly string[]): void {
    for (const what of broken) this.simulation.violate(what);
  }
}
