/**
 * Looks at what can grow in a simulated cluster: at every input that a host lets in or turns away, and at all hosts
 * whenever the store has written. Judged by cluster-tests/checkers/kept-bounds.ts; used by runtime-scenario.ts.
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
/** How long a receiver that goes on writing may have too many: it has to ask the store, which has bad days. */
const reviewMs = 15_000;

/** A full house takes what nodes say themselves, and operators' verbs: what fills it may wait for just these. */
const endsWaiting = ({ principal, event }: Command): boolean =>
  principal === 'system' || event.type.startsWith('actor.');

export class BoundsWatch {
  private readonly simulation: Simulation;
  private readonly limits: HostLimits;
  /** Records with too many watermarks, since when. */
  private readonly manyWatermarks = new Map<string, number>();

  constructor(simulation: Simulation) {
    this.simulation = simulation;
    this.limits = { ...defaultLimits, ...simulation.options.limits };
    simulation.store.onWrite((entry) => this.look(entry));
  }

  private look({ effects }: StoreEntry): void {
    const { server } = this.simulation;
    for (const { host } of this.simulation.nodes()) this.tell(checkFigures(host.figures(), this.limits));
    const lengthOf = (key: string): number => server.space.stream(key)?.entries.length ?? 0;
    const hot = this.simulation.options.archive === undefined ? undefined : archiveCap;
    this.tell(checkStreams(effects, lengthOf, hot));
    for (const [verb, key = '', ...fields] of effects) {
      if (verb === 'HSET' && key.includes('}:a:') && fields.some((field) => field.startsWith('m:')))
        this.lookAtWatermarks(key);
    }
  }

  private lookAtWatermarks(key: string): void {
    const { simulation, limits } = this;
    const watermarks = [...(simulation.server.space.hash(key)?.keys() ?? [])].filter((field) => field.startsWith('m:'));
    // Nothing can be wrong with so few, and this is asked at every message.
    if (watermarks.length <= limits.watermarks) return void this.manyWatermarks.delete(key);
    const senders = watermarks.map((watermark) => this.senderOf(watermark.slice('m:'.length)));
    const walls = simulation.nodes().map(({ process }) => process.clock.wallMs());
    const soonMs = Math.min(...walls) - limits.watermarkGraceMs;
    const broken = checkWatermarks(key, senders, soonMs, limits.watermarks);
    if (broken.length === 0) this.manyWatermarks.delete(key);
    else if (!this.manyWatermarks.has(key)) this.manyWatermarks.set(key, simulation.time.nowMs);
    else if (simulation.time.nowMs - (this.manyWatermarks.get(key) ?? 0) > reviewMs) this.tell(broken);
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

  /** From the start of a node on: the node's own calls come through here as well. */
  watch({ host }: SimulatedNode): void {
    const entered = <Answer extends Delivery | Reply | { readonly moved: true }>(
      enter: () => Promise<Answer>,
      isCommand: boolean,
    ): Promise<Answer> => {
      const before = host.figures();
      const answered = enter();
      this.tell(checkEntry(before, host.figures(), this.limits, isCommand));
      return answered.then((answer) => {
        const refusal = refusalOf(answer);
        if (refusal === undefined) return answer;
        this.simulation.reach(`told ${refusal.word}`);
        this.tell(checkRefusal(refusal));
        return answer;
      });
    };
    const deliver = host.deliver.bind(host);
    const command = host.command.bind(host);
    Object.assign(host, {
      deliver: (message: Message) => entered(() => deliver(message), false),
      command: (asked: Command) => entered(() => command(asked), !endsWaiting(asked)),
    });
  }

  private tell(broken: readonly string[]): void {
    for (const what of broken) this.simulation.violate(what);
  }
}
