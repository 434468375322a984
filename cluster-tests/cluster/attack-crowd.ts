/**
 * The crowds of attacks-main.ts: each does one thing that a stranger or one tenant may do against a controller, with a
 * count and an end. They run in a process of their own (attack-crowd-main.ts), so that what they cost is not measured
 * as a delay of those who suffer.
 */
import { Agent } from 'node:https';
import { connect } from 'node:tls';
import { setTimeout as pause } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import { connectPhoton, type PhotonClient } from '@photoncloud/runtime/client/client';
import { nodeSocketFactory } from '@photoncloud/runtime/client/node-socket';
import { defaultApiLimits } from '@photoncloud/runtime/control-api/api-limits';
import { RawClient } from '@photoncloud/runtime/control-api/raw-client-for-tests';
import { ask, logIn, mintTicket, patiently } from './attack-requests.ts';
import { command } from './overlay-guests.ts';

export interface CrowdPlan {
  readonly crowd: keyof typeof crowds;
  /** `192.0.2.2:<TCP port>` of the controller. */
  readonly address: string;
  readonly tenant: string;
  readonly token: string;
  /** How many connections, sessions or calls, as the crowd has it. */
  readonly count: number;
  readonly forMs: number;
}

/** What the crowd did, by name. */
export type Deeds = Readonly<Record<string, number>>;

const network = 'front';
const callsAtOnce = 16;

/** Does the same in so many lanes at once until the time is over. */
async function lanes(count: number, endMs: number, work: (lane: number) => Promise<void>): Promise<void> {
  const lane = async (_: unknown, at: number): Promise<void> => {
    while (performance.now() < endMs) await work(at);
  };
  await Promise.all(Array.from({ length: count }, lane));
}

const sessionOf = ({ address, token }: CrowdPlan): Promise<PhotonClient> =>
  patiently(() => connectPhoton({ url: `wss://${address}/api`, token, openSocket: nodeSocketFactory() }));

/** Opens as many sessions as it is allowed, at the rate that it is allowed. */
async function rawSessions(plan: CrowdPlan, count: number, endMs: number): Promise<RawClient[]> {
  const clients: RawClient[] = [];
  const headers = { authorization: `Bearer ${plan.token}` };
  while (clients.length < count && performance.now() < endMs) {
    try {
      const client = await new RawClient(`wss://${plan.address}/api`, headers).open();
      // What it is sent is read from the socket and not kept.
      client.socket.removeAllListeners('message').on('message', () => undefined);
      clients.push(client);
    } catch {
      await pause(50); // refused for its rate
    }
  }
  return clients;
}

const openOf = (clients: readonly { readonly socket: WebSocket }[]): number =>
  clients.filter(({ socket }) => socket.readyState === socket.OPEN).length;

/** Asks /readyz on so many connections, as fast as it is answered. */
async function readers({ address, count, forMs }: CrowdPlan): Promise<Deeds> {
  const agent = new Agent({ keepAlive: true, maxSockets: count });
  let [answered, refused] = [0, 0];
  await lanes(count, performance.now() + forMs, async () => {
    const status = await ask(`https://${address}/readyz`, { agent }).then(
      (answer) => answer.status,
      () => 0,
    );
    if (status === 200) answered += 1;
    else refused += 1;
  });
  agent.destroy();
  return { answered, refused };
}

/** Begins so many TLS connections at once, asks nothing and keeps those that it gets. */
async function idlers({ address, count, forMs }: CrowdPlan): Promise<Deeds> {
  const [host = '', listenPort = ''] = address.split(':');
  let [shaken, failed] = [0, 0];
  const sockets = Array.from({ length: count }, () =>
    connect({ host, port: Number(listenPort) })
      .once('secureConnect', () => (shaken += 1))
      .on('error', () => (failed += 1)),
  );
  await pause(forMs);
  const open = sockets.filter((socket) => !socket.connecting && !socket.destroyed).length;
  for (const socket of sockets) socket.destroy();
  return { begun: count, shaken, failed, open };
}

/** One session asks for all schemas at its rate; so many others ask for them, too, and do not read the answers. */
async function askers(plan: CrowdPlan): Promise<Deeds> {
  const endMs = performance.now() + plan.forMs;
  const everyMs = 1_000 / defaultApiLimits.readsPerS;
  const silent = await rawSessions(plan, plan.count, endMs);
  for (const { socket } of silent) socket.pause();
  const reader = await sessionOf(plan);
  let [asked, answered, refused] = [0, 0, 0];
  const timer = setInterval(() => {
    for (const client of silent) {
      // What the server does not read fills the buffers of the kernel; no more is kept here.
      if (client.socket.readyState !== client.socket.OPEN || client.socket.bufferedAmount > 1 << 20) continue;
      asked += 1;
      client.send(JSON.stringify({ jsonrpc: '2.0', id: asked, method: 'rpc.discover', params: {} }));
    }
  }, everyMs);
  await lanes(defaultApiLimits.maxInFlight / 2, endMs, async () => {
    await patiently(() => reader.call('rpc.discover', {})).then(
      () => (answered += 1),
      () => (refused += 1),
    );
  });
  clearInterval(timer);
  const open = openOf(silent);
  reader.close();
  for (const { socket } of silent) socket.terminate();
  return { answered, refused, asked, open };
}

/** Creates so many ports of its tenant, for watchers. They stay; those that are there already are refused. */
async function makers(plan: CrowdPlan): Promise<Deeds> {
  const clients: PhotonClient[] = [];
  while (clients.length < 8) clients.push(await sessionOf(plan));
  let [begun, made, refused] = [0, 0, 0];
  const lane = async (client: PhotonClient): Promise<void> => {
    while (begun < plan.count) {
      begun += 1;
      const id = `port/${plan.tenant}/w${begun}`;
      await patiently(() => command(client, 'create', id, { network })).then(
        () => (made += 1),
        () => (refused += 1),
      );
    }
  };
  await Promise.all([...clients, ...clients, ...clients].map(lane));
  for (const client of clients) client.close();
  return { made, refused };
}

/**
 * Opens all watches that all its sessions may have, while the tenant changes what they watch. Half of the sessions read
 * and never acknowledge, the others do not even read.
 */
async function watchers(plan: CrowdPlan): Promise<Deeds> {
  const endMs = performance.now() + plan.forMs;
  const changer = await sessionOf(plan);
  const clients = await rawSessions(plan, plan.count - 1, endMs);
  for (const [at, client] of clients.entries()) {
    if (at % 2 === 0) client.socket.pause();
    for (let id = 1; id <= defaultApiLimits.maxWatches; id += 1) {
      client.send(JSON.stringify({ jsonrpc: '2.0', id, method: 'watch.open', params: {} }));
    }
  }
  let [changed, refused] = [0, 0];
  await lanes(callsAtOnce, endMs, async (lane) => {
    const id = `port/${plan.tenant}/c${lane}`;
    for (const verb of ['create', 'delete']) {
      const params = verb === 'create' ? { network } : {};
      await patiently(() => command(changer, verb, id, params)).then(
        () => (changed += 1),
        () => (refused += 1),
      );
    }
  });
  const open = openOf(clients);
  changer.close();
  for (const { socket } of clients) socket.terminate();
  return { sessions: clients.length, open, changed, refused };
}

/** Asks for so many secrets. */
async function collectors(plan: CrowdPlan): Promise<Deeds> {
  const client = await sessionOf(plan);
  const secrets = await times(plan, async () => {
    await patiently(() => client.call('auth.secret', {}));
    return true;
  });
  client.close();
  return { secrets };
}

/** Logs in as a browser does and asks for so many tickets. */
async function ticketers(plan: CrowdPlan): Promise<Deeds> {
  const agent = new Agent({ keepAlive: true, maxSockets: callsAtOnce });
  const cookie = await logIn(plan.address, { token: plan.token });
  const tickets = await times(plan, async () => (await mintTicket(plan.address, cookie, agent)) !== undefined);
  agent.destroy();
  return { tickets };
}

/** Tries so many wrong tokens. */
async function guessers(plan: CrowdPlan): Promise<Deeds> {
  const refused = await times(plan, async () => {
    const client = new RawClient(`wss://${plan.address}/api`, { authorization: 'Bearer wrong' });
    const isRefused = await client.open().then(
      () => false,
      () => true,
    );
    client.socket.terminate();
    return isRefused;
  });
  return { refused };
}

/** Does it `count` times, some at once, unless the time is over. @returns how often it succeeded */
async function times({ count, forMs }: CrowdPlan, work: () => Promise<boolean>): Promise<number> {
  const endMs = performance.now() + forMs;
  let [begun, done] = [0, 0];
  const lane = async (): Promise<void> => {
    while (begun < count && performance.now() < endMs) {
      begun += 1;
      if (await work()) done += 1;
    }
  };
  await Promise.all(Array.from({ length: callsAtOnce }, lane));
  return done;
}

export const crowds = { readers, idlers, askers, makers, watchers, collectors, ticketers, guessers };
