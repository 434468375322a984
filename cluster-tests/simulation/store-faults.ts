/**
 * Faults of a store with replicas: the primary dies, is replaced while it goes on running, or is cut off from its
 * replicas; a replica is cut off for a while. Failovers take the steps that Sentinels take. The fault budget is one
 * server, so no two of these faults overlap, and no server is paused while another is promoted: a server that is
 * promoted and cannot be asked at once is the case that runtime/journal/replica-watch.ts documents as invisible to it.
 * Part of the fault plan (fault-plan.ts); armed only where a seed has replicas.
 */
import type { Lasts, Strike } from './fault-plan.ts';
import type { Chance } from './seeded-random.ts';
import type { Simulation } from './simulation.ts';
import type { Replication } from './store/replication.ts';
import type { SimulatedServer } from './store/simulated-server.ts';

const noticedAfterMs = 1_500;
/** Sentinels ask servers for their role every ten seconds and do not promote one that has only just returned. */
const knownAfterMs = 3_000;

const mayBegin = ({ store }: Simulation): boolean => !store.isFailingOver && store.primary.up;

const isFit = (replication: Replication | undefined, nowMs: number): boolean =>
  replication?.isConnected === true && nowMs - replication.sinceMs >= knownAfterMs;

/** The replica with the most entries. */
const best = (servers: readonly SimulatedServer[]): SimulatedServer =>
  servers.toSorted((one, other) => other.file.length - one.file.length)[0] as SimulatedServer;

/** Makes the server a replica of the present primary and closes the connections of its clients. */
function rejoin(simulation: Simulation, server: SimulatedServer): void {
  server.refusal = undefined;
  simulation.store.follow(server);
  simulation.note('store', `${server.name} is a replica now`);
  // Connections close after blocked commands have been answered.
  simulation.time.after(1, undefined, 'store demoted', () =>
    simulation.breakConnections(({ serverName }) => serverName === server.name),
  );
}

/**
 * The steps of Sentinels: promote one replica, let the other replicas follow it, name it to clients, and finally turn
 * the old primary into a replica, if it is there. Until then the old primary goes on serving its clients.
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
  'store switchover'(simulation, chance, lasts) {
    const { store, server } = simulation;
    const fit = store.replicas.filter((one) => isFit(store.replicationOf(one), simulation.time.nowMs));
    if (!mayBegin(simulation) || fit.length === 0) return;
    const next = chance.pick(fit);
    simulation.fault('store switchover', `${server.name} to ${next.name}`);
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
