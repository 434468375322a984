/**
 * The attacks of attacks-main.ts and what is allowed of each: one tenant (`greedy`), or strangers, against another
 * tenant (`modest`), the operator and the links between nodes. The limits leave a margin of three or more on a machine
 * with two cores that also runs the attackers.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { connectPhoton, type PhotonClient } from '@photoncloud/runtime/client/client';
import { nodeSocketFactory } from '@photoncloud/runtime/client/node-socket';
import { defaultApiLimits } from '@photoncloud/runtime/control-api/api-limits';
import { summarize } from '../bench/bench-figures.ts';
import type { CrowdPlan, Deeds } from './attack-crowd.ts';
import { logIn, mintTicket, patiently } from './attack-requests.ts';
import type { Probe, Sight, Witness } from './attack-witness.ts';
import { command } from './overlay-guests.ts';
import { until } from './process-identity.ts';

export type Crowd = Pick<CrowdPlan, 'crowd' | 'count' | 'forMs'>;

export interface Stage {
  readonly witness: Witness;
  readonly operator: PhotonClient;
  readonly modest: PhotonClient;
  /** Runs a crowd of the tenant `greedy` to its end. */
  readonly attack: (crowd: Crowd) => Promise<Deeds>;
}

export interface Figure {
  readonly name: string;
  readonly unit: 'ms' | 'MiB' | '';
  /** Null where there is nothing to measure in calm. */
  readonly calm: number | null;
  /** NaN when the cluster does not tell. */
  readonly under: number;
  readonly allowed: number;
}

export interface Attack {
  readonly name: string;
  readonly run: (stage: Stage) => Promise<readonly Figure[]>;
}

interface JudgedProbe extends Probe {
  readonly allowedMs: { readonly p50: number; readonly worst: number };
}

const settleMs = 3_000;
const calmMs = 6_000;
const network = 'front';
/** Ports that a tenant has while its watches are open. */
const watchedPorts = 1_000;
const givenBackMs = 30_000;
const passCalls = 1_000;
const slowVms = 16;
const graceMs = 120_000;

/** Two commands of an open session. */
const creates = (name: string, client: PhotonClient): JudgedProbe => ({
  name: `${name}: create and delete a port`,
  everyMs: 50,
  allowedMs: { p50: 500, worst: 3_000 },
  work: async () => {
    await patiently(() => command(client, 'create', 'port/modest/p', { network }));
    await patiently(() => command(client, 'delete', 'port/modest/p'));
  },
});

const reads = ({ operator }: Stage): JudgedProbe => ({
  name: 'operator: read',
  everyMs: 50,
  allowedMs: { p50: 100, worst: 2_000 },
  work: () => patiently(() => operator.call('actor.get', { id: `network/modest/${network}` })),
});

/** What begins with a TLS handshake, which waits for those that came before. */
const newcomerMs = { p50: 300, worst: 5_000 };

/** A new connection, its session, and a read. */
const arrives = (name: string, { witness }: Stage): JudgedProbe => ({
  name: `${name}: connect and read`,
  everyMs: 250,
  allowedMs: newcomerMs,
  work: async () => {
    const client = await witness.session(name);
    await patiently(() => client.call('actor.get', { id: `network/modest/${network}` })).finally(() => client.close());
  },
});

const health = ({ witness }: Stage): JudgedProbe => ({
  name: 'health page',
  everyMs: 100,
  allowedMs: newcomerMs,
  work: () => witness.health(),
});

const timesOf = ({ times }: Sight, { name }: Probe) => summarize(times.get(name) ?? []);

interface Compared {
  readonly figures: readonly Figure[];
  readonly calm: Sight;
  readonly under: Sight;
}

/** Measures in calm, then while the crowd is there. */
async function compare({ witness, attack }: Stage, crowd: Crowd, probes: readonly JudgedProbe[]): Promise<Compared> {
  await pause(settleMs);
  const calm = await witness.watch(probes, pause(calmMs));
  const under = await witness.watch(probes, attack(crowd));
  const times = probes.flatMap((probe): Figure[] => {
    const [before, now] = [timesOf(calm, probe), timesOf(under, probe)];
    const { p50, worst } = probe.allowedMs;
    return [
      { name: `${probe.name}, p50`, unit: 'ms', calm: before.median, under: now.median, allowed: p50 },
      { name: `${probe.name}, worst`, unit: 'ms', calm: before.max, under: now.max, allowed: worst },
    ];
  });
  const figures: Figure[] = [
    ...times,
    { name: 'longest delay of the event loop', unit: 'ms', calm: calm.delayMs, under: under.delayMs, allowed: 1_000 },
    { name: 'calls of others that failed', unit: '', calm: calm.failed, under: under.failed, allowed: 0 },
    { name: 'links between nodes lost', unit: '', calm: calm.linksLost, under: under.linksLost, allowed: 0 },
  ];
  return { figures, calm, under };
}

const strangers = (count: number, forMs: number): Attack => ({
  name: `A4b ${count} TLS connections at once, then idle`,
  run: async (stage) => {
    const probes = [health(stage), arrives('operator', stage), reads(stage)];
    return (await compare(stage, { crowd: 'idlers', count, forMs }, probes)).figures;
  },
});

async function watchMemory(stage: Stage): Promise<readonly Figure[]> {
  const { witness, attack, operator } = stage;
  await attack({ crowd: 'makers', count: watchedPorts, forMs: 30_000 });
  const probes = [creates('operator', operator), health(stage)];
  const crowd = { crowd: 'watchers', count: defaultApiLimits.maxSessionsPerScope, forMs: 25_000 } as const;
  const { figures, calm, under } = await compare(stage, crowd, probes);
  await pause(givenBackMs);
  const after = witness.residentMib();
  const memory = (name: string, mib: number): Figure => ({
    name: `memory of the controller, ${name}`,
    unit: 'MiB',
    calm: calm.peakMib,
    under: mib,
    allowed: 1_500,
  });
  return [...figures, memory('peak', under.peakMib), memory('30 s later', after)];
}

const lost = (name: string, under: number): Figure => ({ name, unit: '', calm: 0, under, allowed: 0 });

/** How many of these were refused. */
async function refusals(works: readonly Promise<unknown>[]): Promise<number> {
  return (await Promise.allSettled(works)).filter(({ status }) => status === 'rejected').length;
}

async function browserLinks({ witness, operator, modest, attack }: Stage): Promise<readonly Figure[]> {
  const { address } = witness;
  const links = (await Promise.all([modest, operator].map((client) => client.call('auth.secret', {})))) as {
    readonly secret: string;
  }[];
  await attack({ crowd: 'collectors', count: passCalls, forMs: 20_000 });
  const voidLinks = await refusals(links.map(({ secret }) => logIn(address, { secret })));
  const cookies = await Promise.all(
    ['modest', 'operator'].map((name) => logIn(address, { token: witness.token(name) })),
  );
  const tickets = await Promise.all(cookies.map((cookie) => mintTicket(address, cookie)));
  await attack({ crowd: 'ticketers', count: passCalls, forMs: 20_000 });
  const sessions = tickets.map(async (ticket = '') => {
    const url = `wss://${address}/api`;
    const client = await connectPhoton({
      url,
      ticket: () => Promise.resolve(ticket),
      openSocket: nodeSocketFactory(),
    });
    client.close();
  });
  return [
    lost(`browser links of others void after ${passCalls} secrets`, voidLinks),
    lost(`tickets of others void after ${passCalls} tickets`, await refusals(sessions)),
  ];
}

async function wrongTokens(stage: Stage): Promise<readonly Figure[]> {
  const { witness } = stage;
  let refused = 0;
  const logsIn: JudgedProbe = {
    name: 'modest: log in as a browser',
    everyMs: 250,
    allowedMs: newcomerMs,
    work: () => logIn(witness.address, { token: witness.token('modest') }).catch(() => (refused += 1)),
  };
  const probes = [arrives('modest', stage), arrives('operator', stage), logsIn];
  const { figures } = await compare(stage, { crowd: 'guessers', count: passCalls, forMs: 10_000 }, probes);
  return [...figures, lost(`right logins refused because of ${passCalls} wrong tokens`, refused)];
}

async function slowStops({ operator, modest }: Stage): Promise<readonly Figure[]> {
  const isIn = (id: string, state: string) => async () =>
    (await patiently(() => operator.call('actor.get', { id }))).stateName === state;
  const bind = async (name: string): Promise<number> => {
    const startedMs = performance.now();
    await command(modest, 'create', `port/modest/${name}`, { network, host: 'w1' });
    await until(`port ${name} is active`, isIn(`port/modest/${name}`, 'active'), graceMs);
    return performance.now() - startedMs;
  };
  await bind('first');
  const names = Array.from({ length: slowVms }, (_, at) => `slow-${at}`);
  for (const name of names) {
    await command(operator, 'create', `volume/greedy/${name}`, { sizeMib: 1 });
    // Its disk is empty: the firmware finds nothing to boot, and does not hear the power button.
    const parts = { nics: [{ network }], disks: [{ volume: name }], memoryMib: 64, host: 'w1' };
    await command(operator, 'create', `vm/greedy/${name}`, parts);
  }
  for (const name of names) await until(`${name} runs`, isIn(`vm/greedy/${name}`, 'running'), graceMs);
  await pause(settleMs);
  const calm = await bind('calm');
  for (const name of names) {
    // The answer comes when the VM has stopped, which nobody waits for.
    command(operator, 'stop', `vm/greedy/${name}`, { graceMs }).catch(() => undefined);
  }
  for (const name of names) await until(`${name} stops`, isIn(`vm/greedy/${name}`, 'stopping'), 30_000);
  return [
    { name: 'modest: a port on their host is active', unit: 'ms', calm, under: await bind('late'), allowed: 20_000 },
  ];
}

export const attacks: readonly Attack[] = [
  {
    name: 'A4a 128 strangers ask /readyz',
    run: async (stage) => {
      const probes = [creates('modest', stage.modest), health(stage)];
      return (await compare(stage, { crowd: 'readers', count: 128, forMs: 10_000 }, probes)).figures;
    },
  },
  strangers(2_000, 20_000),
  strangers(10_000, 30_000),
  {
    name: 'A6 20 sessions ask for schemas and read none',
    run: async (stage) =>
      (await compare(stage, { crowd: 'askers', count: 20, forMs: 20_000 }, [reads(stage), health(stage)])).figures,
  },
  { name: 'A7 all watches of a tenant, unacknowledged', run: watchMemory },
  { name: 'A8 secrets and tickets of one tenant', run: browserLinks },
  { name: 'A8 wrong tokens from one address', run: wrongTokens },
  { name: 'A1 16 VMs that ignore the power button', run: slowStops },
];
