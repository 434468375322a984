/**
 * Reads the whole history of every actor through the historians of the nodes, at the end of a run while no fault is
 * active (G10). Used by runtime-scenario.ts; judged by checkers/kept-histories.ts.
 */
import { describeCause } from '@photoncloud/runtime/contract/errors';
import { actorId, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import { shardOf } from '@photoncloud/runtime/journal/shard-placement';
import { storeKeys } from '@photoncloud/runtime/journal/store-keys';
import { checkEntries, checkRebuilt, pastOf, type ActorPast } from '../checkers/kept-histories.ts';
import type { Chance } from './seeded-random.ts';
import type { Simulation } from './simulation.ts';

const keys = storeKeys('ph:');
const quickDiskMs = 0.5;

export class HistoryCheck {
  private readonly simulation: Simulation;
  private readonly chance: Chance;
  private open = 0;

  constructor(simulation: Simulation) {
    this.simulation = simulation;
    this.chance = simulation.chance.split('history check');
  }

  start(): void {
    const { past } = this.simulation.writes;
    // After a store rollback the archives hold entries that the store no longer has.
    if (this.simulation.options.archive === undefined || past.some((entry) => 'rolledBackTo' in entry)) return;
    // Completeness is checked, not speed: the history of a busy actor is hundreds of runs that are read one by one.
    for (const { process } of this.simulation.nodes()) this.simulation.diskOf(process.name).delayMs = quickDiskMs;
    for (const [id, known] of pastOf(past)) this.read(actorId(id), known);
  }

  private read(id: ActorId, known: ActorPast): void {
    const { simulation, chance } = this;
    const { process, historian } = chance.pick(simulation.nodes());
    if (historian === undefined) return;
    const { version } = chance.happens(0.5)
      ? chance.pick(known.records)
      : (known.records.at(-1) as { version: number });
    const hot = simulation.server.space.stream(keys.inShard(shardOf(id), `h:${id}`))?.entries.length ?? 0;
    this.open += 1;
    simulation.time.after(0, process, 'history', () => {
      const read = async (): Promise<readonly string[]> => {
        const entries = await historian.history(id, { after: 0, limit: 1_000_000 });
        simulation.reach(entries.length > hot ? 'a history read from archives' : 'a history read from the store alone');
        const now = pastOf(simulation.writes.past).get(id) ?? known;
        return [...checkEntries(id, entries, known, now), ...checkRebuilt(await historian.at(id, version), known)];
      };
      void read()
        .catch((failure: unknown) => [`K16: the history of ${id} cannot be read: ${describeCause(failure)}`])
        .then((broken) => {
          for (const what of broken) simulation.violate(what);
          this.open -= 1;
        });
    });
  }

  unsettled(): string | undefined {
    return this.open === 0 ? undefined : `the histories of ${this.open} actors are being read`;
  }
}
