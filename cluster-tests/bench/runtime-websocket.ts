/**
 * Row of the runtime bench: commands to presses over one WebSocket of the control API, 64 in flight. The client is a
 * process of its own (runtime-client-main.ts), and its CPU is a figure of its own. The same rounds also measure the
 * bare limits and the same commands given to the host directly; the difference is the cost of the API. The API's rate
 * limits are switched off by configuration; nothing else differs from a real session.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Principal } from '@photoncloud/runtime/control-api/access-rule';
import { createControlApi } from '@photoncloud/runtime/control-api/control-api';
import { systemClock } from '@photoncloud/runtime/hosting/system-clock';
import { createSystemRandom } from '@photoncloud/runtime/hosting/system-random';
import { createReader } from '@photoncloud/runtime/journal/redis-reader';
import { bareLoads } from './runtime-bare.ts';
import type { Figure, Goal, RowReport } from './bench-goals.ts';
import { benchActor, benchRegistry, pressStep } from './runtime-kinds.ts';
import { benchLog, closedLoop, levels, type BenchNode, type Level } from './runtime-stage.ts';
import { contest, cpuGoal, inArena, priceFigures, type RowOptions } from './runtime-throughput.ts';

const actors = 1_000;
const lanes = 64;
const clientProgram = join(import.meta.dirname, 'runtime-client-main.ts');
const token = 'bench-token';
const driver: Principal = { id: 'id-bench', name: 'bench', scopes: ['bench'], admin: false };
const shares = { everysec: 0.6, always: 1 } as const;
const patienceMs = 30_000;

interface Door {
  readonly url: string;
  close(): Promise<void>;
}

async function openDoor(node: BenchNode): Promise<Door> {
  const reader = createReader({ store: node.store, clock: systemClock, log: benchLog });
  const unlimited = 1e9;
  const api = createControlApi({
    registry: benchRegistry(),
    reader,
    ask: (command) => node.host.ask(command),
    principals: {
      byToken: (given) => (given === token ? driver : undefined),
      byId: (id) => (id === driver.id ? driver : undefined),
    },
    clock: systemClock,
    random: createSystemRandom(),
    log: benchLog,
    node: 'bench',
    version: '0.0.0',
    limits: {
      commandsPerS: unlimited,
      commandBurst: unlimited,
      scopeCommandsPerS: unlimited,
      scopeCommandBurst: unlimited,
    },
  });
  const server = createServer();
  api.attach(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/api`,
    async close() {
      await api.close();
      server.close();
      reader.close();
    },
  };
}

/** The next message of the child. @throws Error saying why none came */
function heard<News>(child: ChildProcess, timeoutMs: number): Promise<News> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(timer);
      child.off('message', onNews).off('exit', onExit);
    };
    const onNews = (news: unknown): void => {
      settle();
      resolve(news as News);
    };
    const onExit = (): void => {
      settle();
      reject(new Error('the client process ended'));
    };
    const timer = setTimeout(() => {
      settle();
      reject(new Error(`the client process said nothing within ${timeoutMs} ms`));
    }, timeoutMs);
    child.on('message', onNews).on('exit', onExit);
  });
}

interface Driven {
  readonly count: number;
  /** us of user and system time of the client. */
  readonly cpuUs: number;
}

/** Lets the client send commands for a time. @returns number of answers, and the client's CPU time for them */
function drive(child: ChildProcess, forMs: number): Promise<Driven> {
  child.send({ forMs });
  return heard<Driven>(child, forMs + patienceMs);
}

/** The same commands as the client's, given to the host directly, for other presses. */
function asker(node: BenchNode): () => Promise<number> {
  const steps = new Uint32Array(actors);
  let turn = 0;
  return async () => {
    turn += 1;
    const index = turn % actors;
    const step = steps[index] ?? 0;
    steps[index] = step + 1;
    const { command, params } = pressStep(step);
    const reply = await node.host.ask({
      to: benchActor('press', 'asked', index),
      commandId: `bench:key-${Date.now()}-${turn}`,
      digest: 'd'.repeat(43),
      principal: driver.name,
      event: { ...params, type: `press.${command}` },
      trace: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
    });
    if (!reply.ok) throw new Error(`a press refused ${command}: ${reply.error.message}`);
    return 1;
  };
}

async function raceOver(level: Level, options: RowOptions, goals: Goal[], figures: Figure[]): Promise<void> {
  await inArena(level, async ({ bare, node, cycle }) => {
    const { single, grouped, reference } = await bareLoads(bare, cycle, actors);
    const door = await openDoor(node);
    const child = fork(clientProgram, [JSON.stringify({ url: door.url, token, actors, lanes })]);
    try {
      await heard(child, patienceMs);
      const clientUs: number[] = [];
      const websocket = async (forMs: number): Promise<number> => {
        const { count, cpuUs } = await drive(child, forMs);
        clientUs.push(cpuUs / count);
        return count;
      };
      const ask = asker(node);
      const asked = (forMs: number): Promise<number> => closedLoop(lanes, forMs, ask);
      const result = await contest(bare, { single, grouped, reference, asked, websocket }, options);
      figures.push(...priceFigures(level, result.prices));
      // The first round is a warm-up.
      figures.push({ name: `${level}, websocket: CPU of the client`, unit: 'us', samples: clientUs.slice(1) });
      const samples = result.ratio('websocket', 'single');
      const name = `${level}: commanded over one WebSocket, of bare single`;
      goals.push({ name, unit: 'x', samples, atLeast: shares[level] });
      if (level === 'always') return;
      goals.push(cpuGoal('CPU of the node per command over WebSocket', result, 'websocket', 'nodeUs', 20));
    } finally {
      child.kill('SIGKILL');
      await door.close();
    }
  });
}

export async function websocketRow(options: RowOptions): Promise<RowReport> {
  const goals: Goal[] = [];
  const figures: Figure[] = [];
  for (const level of levels) await raceOver(level, options, goals, figures);
  return { goals, figures };
}
