/**
 * Mixed releases of the program (G9): with each start a node may run a newer release than before, or an older one
 * again; in half of the seeds nodes are also restarted for that purpose alone. At the end every node is brought to the
 * newest release. Used by runtime-scenario.ts.
 */
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import { upgradedOf, newestRelease } from './upgraded-kind.ts';
import type { Chance } from './seeded-random.ts';
import type { SimulatedClients } from './simulated-clients.ts';
import type { Simulation } from './simulation.ts';

const askEveryMs = 700;
const rollEveryMs = 15_000;

export class SimulatedReleases {
  private readonly simulation: Simulation;
  private readonly clients: SimulatedClients;
  private readonly chance: Chance;
  /** Name of a node -> its release. */
  private readonly running = new Map<string, number>();
  private readonly upgradedActors = [0, 1, 2, 3].map((at) => actorId(`upgraded/t/a${at}`));
  private ending = false;

  constructor(simulation: Simulation, clients: SimulatedClients) {
    this.simulation = simulation;
    this.clients = clients;
    this.chance = simulation.chance.split('releases');
  }

  /** Chooses the release for a process of the node that is about to start. */
  upgradedFor(node: string): ActorDefinition {
    const before = this.running.get(node) ?? this.chance.whole(1, newestRelease - 1);
    const step = this.chance.pick([-1, 0, 1, 1]);
    const release = this.ending ? newestRelease : Math.min(newestRelease, Math.max(1, before + step));
    if (release < before) this.simulation.reach('a node that goes back to an older release');
    this.simulation.note(node, `release ${release}`);
    this.running.set(node, release);
    return upgradedOf(release);
  }

  start(): void {
    this.askSoon();
    if (this.chance.happens(0.5)) this.rollSoon();
  }

  /** Restarts every node that runs an older release than the newest. */
  stop(): void {
    this.ending = true;
    for (const [name, release] of this.running) if (release < newestRelease) this.restart(name);
  }

  unsettled(): string | undefined {
    const old = [...this.running].find(([, release]) => release < newestRelease);
    return this.ending && old !== undefined ? `${old[0]} runs release ${old[1]}` : undefined;
  }

  private askSoon(): void {
    this.simulation.time.after(this.chance.around(askEveryMs), undefined, 'client', () => {
      if (this.ending) return;
      const type = this.chance.pick(['upgraded.start', 'upgraded.start', 'upgraded.stop']);
      const to = this.chance.pick(this.upgradedActors);
      this.clients.ask(to, { type, load: this.chance.whole(1, 100) }, 'release-client', ({ reply }) => {
        if (reply === undefined) this.simulation.reach('an actor that no running release could read');
      });
      this.askSoon();
    });
  }

  private rollSoon(): void {
    this.simulation.time.after(this.chance.around(rollEveryMs), undefined, 'roll', () => {
      if (this.ending) return;
      this.restart(this.chance.pick(this.simulation.nodeNames()));
      this.rollSoon();
    });
  }

  private restart(name: string): void {
    const node = this.simulation.node(name);
    if (node === undefined || node.process.paused) this.simulation.processOf(name)?.kill();
    else this.simulation.time.after(0, node.process, 'SIGTERM', () => void node.stop());
  }
}
