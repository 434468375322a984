/**
 * Judges a run of the runtime by what the store holds, what clients were answered and which effects were started: K2,
 * K5, K7, K8, K9, K11 and K14 of docs/promises.md. Pure. Called at the end of a run by both scenarios of the
 * simulation.
 */
import type { Fence } from '@photoncloud/runtime/contract/effect';
import type { ClientRecord } from '../simulation/simulated-clients.ts';
import type { StoreEntry } from '../simulation/store/simulated-server.ts';
import type { StoreRollback } from '../simulation/store/simulated-store.ts';
import { checkCommands, checkEras } from './applied-commands.ts';
import { checkOutcomes, checkPerformances } from './fenced-effects.ts';
import { checkSnapshots, type Charts } from './legal-snapshots.ts';
import { checkMessages, type IsQuiet } from './message-order.ts';
import { checkWriters } from './single-writer.ts';
import { factsOf } from './store-facts.ts';
import { checkSupervision, type IsPoison } from './supervised-actors.ts';
import { checkTimers } from './durable-timers.ts';

/** One start of an effect, as its target saw it. */
export interface Performance {
  readonly atMs: number;
  /** Label of the process. */
  readonly by: string;
  readonly effectId: string;
  readonly actor: string;
  readonly fence: Fence;
  readonly recovered: boolean;
  /** The target had seen a higher fence before and refused. */
  readonly stale: boolean;
  /** When the target had an outcome for it. */
  endedMs?: number;
}

export interface RuntimeRecord {
  /** Every write to the store's primary, with the rollbacks between them. */
  readonly past: readonly (StoreEntry | StoreRollback)[];
  /** The append-only file of the server that is the primary at the end. */
  readonly kept: readonly StoreEntry[];
  /** Writes to a server that had been replaced as primary; effects that they caused may have been performed. */
  readonly lost: readonly StoreEntry[];
  /** How many times a node found no cluster record and wrote the first one. */
  readonly foundings: number;
  readonly records: readonly ClientRecord[];
  readonly performances: readonly Performance[];
  /** Checks every snapshot that was ever written against its chart. */
  readonly charts?: Charts;
  readonly isQuiet?: IsQuiet;
  readonly isPoison?: IsPoison;
}

/** @returns one line for each violation, at most five from each checker */
export function judgeRuntime(record: RuntimeRecord): readonly string[] {
  const { past, kept, lost, foundings, records, performances, charts, isQuiet, isPoison } = record;
  const facts = factsOf(past);
  const found = [
    checkWriters(facts),
    checkCommands(facts, records, () => factsOf(kept)),
    checkEras(facts, foundings),
    checkMessages(facts, isQuiet),
    checkTimers(facts),
    checkPerformances(lost.length === 0 ? facts : [...facts, ...factsOf(lost)], performances),
    checkOutcomes(facts),
    checkSupervision(facts, records, isPoison),
    ...(charts === undefined ? [] : [checkSnapshots(facts, charts)]),
  ];
  return found.flatMap((broken) => broken.slice(0, 5));
}
