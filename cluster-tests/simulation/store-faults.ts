/**
 * What happens to a store with replicas: its primary dies, is replaced while it goes on, or is cut off from the others;
 * a replica is cut off for a while. Each as Sentinels go about it, and never two at once: one box is the fault budget.
 * Nor does a box stand still while another is promoted: one that is promoted and at once cannot be asked is what
 * ReplicaWatch says it cannot see. Part of the fault plan (fault-plan.ts), and armed only where a seed has replicas.
 */
import type { Lasts, Strike } from './fault-plan.ts';
import type { Chance } from './seeded-random.ts';
import type { Simulation } from './simulation.ts';
import type { Replication } from './store/replication.ts';
import type { SimulatedServer } from './store/simulated-server.ts';

const noticedAfterMs = 1_500;
/** Sentinels ask boxes for their place every ten seconds; one that is just back they do not promote. */
const knownAfterMs = 3_000;

const mayBegin = ({ store }: Simulation): boolean => !store.isFailingOver && store.primary.up;

const isFit = (replication: Replication | undefined, nowMs: number): boolean =>
  replication?.isConnected === true && nowMs - replication.sinceMs >= knownAfterMs;

/** The one that has most. */
const best = (servers: readonly SimulatedServer[]): SimulatedServer =>
  servers.toSorted((one, other) => other.file.length - one.file.length)[0] as SimulatedServer;

/** It is a replica from now on, and whoever was connected to it is not. */
function rejoin(simulation: Simulation, server: SimulatedServer): void {
  server.refusal = undefined;
  simulation.store.follow(server);
  simulation.note('store', `${server.name} is a replica now`);
  // Clients are closed after what blocked was answered.
  simulation.time.after(1, undefined, 'store demoted', () =>
    simulation.breakConnections(({ serverName }) => serverName === server.name),
  );
}

/**
 * As Sentinels do it: one is promoted, the other replicas follow it, then it is named to clients, and last of all the
 * old primary is told, if it is there. Until then that goes on.
 */
function promote(simulation: Simulation, next: SimulatedServer, chance: Chance, lasts: Lasts): void {
  const { store, server: old } = simulation;
  const lost = store.promote(next);
  simulation.note('store', `${next.name} is the primary now, ${lost} writes of the old one are lost`);
  if (lost > 0) simulation.reach('a failover that lost commits');
  lasts(chance.around(600), () => {
    for (const server of store.replicas) store.follow(server);
    store.named = next;
    lasts(chance.around(2_000), () => {
      if (!old.up) store.restart(old);
      rejoin(simulation, old);
      store.isFailingOver = false;
    });
  });
}

export const storeStrikes: Readonly<Record<string, Strike>> = {
  'store failover'(simulation, chance, lasts) {
    const { store, server } = simulation;
    if (!mayBegin(simulation)) return;
    simulation.fault('store failover', server.name);
    store.isFailingOver = true;
    simulation.stopServer(server);
    lasts(chance.around(noticedAfterMs), () => promote(simulation, best(store.replicas), chance, lasts));
  },
  'store switch over'(simulation, chance, lasts) {
    const { store, server } = simulation;
    const fit = store.replicas.filter((one) => isFit(store.replicationOf(one), simulation.time.nowMs));
    if (!mayBegin(simulation) || fit.length === 0) return;
    const next = chance.pick(fit);
    simulation.fault('store switch over', `${server.name} to ${next.name}`);
    store.isFailingOver = true;
    promote(simulation, next, chance, lasts);
  },
  'store primary isolated'(simulation, chance, lasts) {
    const { store, server } = simulation;
    if (!mayBegin(simulation)) return;
    simulation.fault('store primary isolated', server.name);
    store.isFailingOver = true;
    for (const one of store.replicas) store.replicationOf(one)?.cut();
    lasts(chance.around(3_000), () => promote(simulation, best(store.replicas), chance, lasts));
  },
  'store replica cut off'(simulation, chance, lasts) {
    const { store } = simulation;
    const replica = chance.pick(store.replicas);
    if (store.isFailingOver) return;
    simulation.fault('store replica cut off', replica.name);
    const mend = store.replicationOf(replica)?.cut();
    lasts(chance.around(3_000), () => mend?.());
  },
};
