/**
 * Judges a run of the runtime by what the store holds and what clients and the world saw: K2, K5, K7, K8, K9, K11 and
 * K14 of docs/promises.md. Pure. Called by simulation/runtime-scenario.ts at the end of a run.
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

/** One beginning of an effect, as the world saw it. */
export interface Performance {
  readonly atMs: number;
  /** Label of the process. */
  readonly by: string;
  readonly effectId: string;
  readonly actor: string;
  readonly fence: Fence;
  readonly recovered: boolean;
  /** The target has seen a higher fence and refused. */
  readonly stale: boolean;
  /** When the world had an outcome for it. */
  endedMs?: number;
}

export interface RuntimeRecord {
  readonly past: readonly (StoreEntry | StoreRollback)[];
  /** The file of the server that remained. */
  readonly kept: readonly StoreEntry[];
  /** Written to one that did not; what it caused may have been performed. */
  readonly lost: readonly StoreEntry[];
  /** How many times the record of the cluster was written where there was none. */
  readonly foundings: number;
  readonly records: readonly ClientRecord[];
  readonly performances: readonly Performance[];
  /** To hold every snapshot ever written to its chart. */
  readonly charts?: Charts;
  readonly isQuiet?: IsQuiet;
  readonly isPoison?: IsPoison;
}

/** @returns rules broken, each with what broke it; at most a few of each */
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
