/** Test support: a control API on a loopback server, with principals whose tokens are `<name>-token`. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { clientClock } from '../client/client-clock.ts';
import type { SharedClock } from '../contract/clock.ts';
import type { Command, Reply } from '../contract/envelope.ts';
import type { Log } from '../contract/log.ts';
import type { Random } from '../contract/random.ts';
import type { Principal } from './access-rule.ts';
import type { ApiLimits } from './api-limits.ts';
import { createControlApi, type ControlApi, type ControlApiOptions } from './control-api.ts';
import type { Principals } from './principals.ts';
import { MemoryStore, testRegistry } from './store-for-tests.ts';

export const quietLog: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => quietLog };
export const testClock: SharedClock = {
  ...clientClock,
  sharedMs: () => Date.now(),
  sharedAtMostMs: () => Date.now(),
};
export const testRandom: Random = { ulid: (wallMs) => `01J${wallMs}`, fraction: () => 0.5 };

const person = (name: string, scopes: readonly string[] | '*', admin: boolean): Principal => ({
  id: `id-${name}`,
  name,
  scopes,
  admin,
});

/** Principals by name; the token of each is `<name>-token`. */
export class TestPrincipals implements Principals {
  readonly people = new Map(
    [
      person('ann', ['acme'], false),
      person('bob', ['bits'], false),
      person('cat', ['acme', 'bits'], false),
      person('root', '*', true),
    ].map((each) => [each.name, each]),
  );
  byToken(token: string): Principal | undefined {
    return token.endsWith('-token') ? this.people.get(token.slice(0, -6)) : undefined;
  }
  byId(id: string): Principal | undefined {
    return this.people.get(id.slice(3));
  }
}

export interface TestApi {
  readonly url: string;
  readonly httpUrl: string;
  readonly store: MemoryStore;
  readonly principals: TestPrincipals;
  readonly asked: Command[];
  readonly api: ControlApi;
  readonly listenPort: number;
  stop(): Promise<void>;
}

export interface TestApiOptions {
  readonly limits?: Partial<ApiLimits>;
  readonly store?: MemoryStore;
  readonly listenPort?: number;
  readonly answer?: (command: Command) => Promise<Reply>;
  readonly more?: Partial<ControlApiOptions>;
}

export async function startTestApi(options: TestApiOptions = {}): Promise<TestApi> {
  const store = options.store ?? new MemoryStore();
  const { kinds } = options.more?.registry ?? testRegistry;
  store.chartVersions = Object.fromEntries([...kinds].map(([kind, { chartVersion }]) => [kind, chartVersion]));
  const principals = new TestPrincipals();
  const asked: Command[] = [];
  const api = createControlApi({
    registry: testRegistry,
    reader: store,
    ask: async (command) => {
      asked.push(command);
      return options.answer?.(command) ?? { ok: true, version: asked.length, result: { done: true } };
    },
    principals,
    clock: testClock,
    random: testRandom,
    log: quietLog,
    node: 'c1',
    version: '0.0.0',
    limits: { handshakesPerS: 1_000, ...options.limits },
    ...options.more,
  });
  const server: Server = createServer();
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  api.attach(server);
  await new Promise<void>((resolve) => server.listen(options.listenPort ?? 0, '127.0.0.1', resolve));
  const listenPort = (server.address() as AddressInfo).port;
  return {
    url: `ws://127.0.0.1:${listenPort}/api`,
    httpUrl: `http://127.0.0.1:${listenPort}`,
    store,
    principals,
    asked,
    api,
    listenPort,
    async stop() {
      await api.close();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
