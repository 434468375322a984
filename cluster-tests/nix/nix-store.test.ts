// time limit: 240 s
// test limit: 100 s
/**
 * The store of three hosts: `photon init` makes its folders, and the real programs run from what the units of a NixOS
 * declaration say, on loopback addresses in place of hosts. The primary is killed: a controller goes on with another
 * one, nothing that it has acknowledged is missing, and the killed one comes back as a replica. Servers and Sentinels
 * refuse whoever has no password, and take up the user of a node that is added. Does not prove what hosts do that lose
 * their network.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { apiSocketName } from '@photoncloud/actors/photon/controller-node';
import { initCluster } from '@photoncloud/actors/photon/cluster-init';
import { addNode } from '@photoncloud/actors/photon/cluster-upkeep';
import { createTenant } from '@photoncloud/actors/photon/program-for-tests';
import { freeListenPort, until } from '@photoncloud/runtime/journal/redis-for-tests';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openSession, tokenOf } from '../cluster/api-session.ts';
import { checkout } from '../cluster/photon-commands.ts';
import { NixPlace, whyNoNix } from './nix-place.ts';

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'photon-store-'));
const hosts = { a: '127.0.0.11', b: '127.0.0.12', c: '127.0.0.13' } as const;
type HostName = keyof typeof hosts;
const names = Object.keys(hosts) as HostName[];
const listenPorts = { store: 0, sentinel: 0, peer: 0, api: 0 };

class RunningUnit {
  output = '';
  readonly #child: ChildProcess;

  /** @param start the words of ExecStart, with the node's folder in place of the one on the host */
  constructor([, ...words]: readonly string[]) {
    const argv = [join(checkout, 'actors/photon/photon-main.ts'), ...words];
    const { REDIS_URL: _, ...env } = process.env;
    this.#child = spawn(process.execPath, argv, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (text: Buffer) => (this.output += text.toString('utf8')));
  }

  /** As when its host loses power: redis-server and Sentinel end with it. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}

const running = new Map<string, RunningUnit>();
const nix = new NixPlace();
test.after(async () => {
  for (const unit of running.values()) await unit.kill();
  // They end with their supervisor, and a little after it.
  const isGone = async (host: HostName): Promise<boolean> =>
    (await ask('store', host, undefined, 'PING')).includes('Could not connect');
  await until('all servers have ended', async () => (await Promise.all(names.map(isGone))).every(Boolean), 10_000);
  nix.close();
  rmSync(folder, { recursive: true, force: true });
});

const nodeFolder = (name: string): string => join(folder, 'init/nodes', name);

/** The words of a unit's ExecStart, by node and role. */
function declaredUnits(): ReadonlyMap<string, readonly string[]> {
  const nodes = names.map((name) => `${name} = { address = "${hosts[name]}"; roles = [ "store" ]; };`);
  const texts = nix.evaluate(`
    let
      ofHost = name: (lib.nixosSystem {
        modules = [ (top + "/nix/modules") {
          services.photoncloud = {
            node = name;
            cluster = {
              roles.store.program = "redis-sentinel";
              roles.controller = { program = "controller"; needs = [ "store" ]; };
              roles.worker = { program = "worker"; needs = [ "controller" ]; };
              nodes = {
                ${nodes.join('\n')}
                ctl = { address = "127.0.0.1"; roles = [ "controller" ]; };
                wrk = { address = "127.0.0.2"; roles = [ "worker" ]; };
              };
            };
          };
        } ];
      }).config;
      textOf = name: role: (ofHost name).units."photoncloud-\${role}";
    in { a = textOf "a" "store"; b = textOf "b" "store"; c = textOf "c" "store"; ctl = textOf "ctl" "controller"; }
  `) as Readonly<Record<string, string>>;
  return new Map(
    Object.entries(texts).map(([name, text]) => {
      const [, start = ''] = /^ExecStart=(.*)$/m.exec(text) ?? [];
      const onHost = /\/var\/lib\/photoncloud\/\w+/;
      assert.match(start, onHost);
      return [name, start.replace(onHost, nodeFolder(name)).split(' ')];
    }),
  );
}

let units: ReadonlyMap<string, readonly string[]> = new Map();
const launch = (name: string): RunningUnit => {
  const unit = new RunningUnit(units.get(name) ?? []);
  running.set(name, unit);
  return unit;
};

interface Login {
  readonly user: string;
  /** Whose password it is. */
  readonly node: string;
}
const ofOperator = (host: HostName): Login => ({ user: 'photon', node: host });
const ofNode = (node: string): Login => ({ user: node, node });

/** The answer of a server, or of the Sentinel beside it, or how it refuses. */
async function ask(
  where: 'store' | 'sentinel',
  host: HostName,
  login: Login | undefined,
  ...command: readonly string[]
): Promise<string> {
  const password = login && readFileSync(join(nodeFolder(login.node), 'store.password'), 'utf8').trim();
  const argv = ['-h', hosts[host], '-p', String(listenPorts[where]), ...(login ? ['--user', login.user] : [])];
  const env = { ...process.env, ...(password ? { REDISCLI_AUTH: password } : {}) };
  return await run('redis-cli', [...argv, ...command], { env, timeout: 10_000 }).then(
    ({ stdout, stderr }) => stdout + stderr,
    String,
  );
}

const roleOf = async (host: HostName): Promise<string> => {
  const [role = '', , , link = ''] = (await ask('store', host, ofOperator(host), 'ROLE')).split('\n');
  return role === 'slave' ? `replica, ${link}` : role;
};

async function primary(): Promise<HostName | undefined> {
  for (const host of names) if ((await roleOf(host)) === 'master') return host;
  return undefined;
}

async function following(): Promise<number> {
  const roles = await Promise.all(names.map(roleOf));
  return roles.filter((role) => role === 'replica, connected').length;
}

/** What a Sentinel keeps of itself and of the others, in its file. */
function noted(host: HostName): { readonly id: string; readonly others: number } {
  const text = readFileSync(join(nodeFolder(host), 'sentinel/sentinel.conf'), 'utf8');
  const [, id = ''] = /^sentinel myid (\S+)$/m.exec(text) ?? [];
  return { id, others: [...text.matchAll(/^sentinel known-sentinel /gm)].length };
}

/** Adds to an error what every server and every program says. */
const withOutput = async <T>(what: Promise<T>): Promise<T> =>
  await what.catch(async (error: unknown) => {
    const servers = names.map(async (host) => {
      const asked = [
        ['store', 'replication'],
        ['sentinel', 'sentinel'],
      ] as const;
      const said = asked.map(([where, part]) => ask(where, host, ofOperator(host), 'INFO', part));
      return `${host}: ${(await Promise.all(said)).join('\n')}`;
    });
    const programs = [...running].map(([name, { output }]) => `${name}:\n${output.slice(-3_000)}`);
    const all = [String(error), ...(await Promise.all(servers)), ...programs];
    throw new Error(all.join('\n'), { cause: error });
  });

function declare(): void {
  test('three hosts choose a primary, and a controller finds it', async () => {
    for (const name of Object.keys(listenPorts) as (keyof typeof listenPorts)[])
      listenPorts[name] = await freeListenPort();
    const stores = names.map((node) => ({ node, role: 'store', address: hosts[node] }) as const);
    await initCluster({
      folder: join(folder, 'init'),
      cluster: 'three',
      nodes: [...stores, { node: 'ctl', role: 'controller', address: '127.0.0.1' }],
      allowedRoots: [],
      allowedSources: [],
      tenants: [],
      listenPorts,
    });
    units = declaredUnits();
    for (const name of [...names, 'ctl']) launch(name);
    await withOutput(until('two replicas follow', async () => (await following()) === 2));
    assert.is(await primary(), 'a');
    const ready = (): boolean => running.get('ctl')?.output.includes('"msg":"ready"') ?? false;
    await withOutput(until('the controller is ready', ready));
    const known = (): boolean => names.every((name) => noted(name).others === 2);
    await withOutput(until('every Sentinel has noted the others', known));
  });

  test('who has no password is refused; a node may ask a Sentinel for the primary, and change nothing', async () => {
    for (const where of ['store', 'sentinel'] as const)
      assert.match(await ask(where, 'b', undefined, 'PING'), /^NOAUTH/);
    const named = await ask('sentinel', 'b', ofNode('ctl'), 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'three');
    assert.is(named.trim(), `${hosts.a}\n${listenPorts.store}`);
    for (const words of ['SENTINEL FAILOVER three', 'SENTINEL REMOVE three', 'SENTINEL MASTERS', 'SHUTDOWN'])
      assert.match(await ask('sentinel', 'b', ofNode('ctl'), ...words.split(' ')), /^NOPERM/, words);
    assert.match(await ask('store', 'b', ofNode('ctl'), 'REPLICAOF', 'NO', 'ONE'), /^NOPERM/);
  });

  test('the primary is killed: another one takes over, nothing is missing, and it comes back', async () => {
    const token = tokenOf(join(folder, 'init/clients/operator.json'));
    const session = await openSession(join(nodeFolder('ctl'), apiSocketName), token);
    try {
      const before = names.map((host) => noted(host).id);
      await createTenant('early', [session]);
      await running.get('a')?.kill();
      await createTenant('late', [session]);
      const promoted = await primary();
      assert.ok(promoted === 'b' || promoted === 'c', promoted);

      launch('a');
      await withOutput(until('it follows the new primary', async () => (await following()) === 2));
      assert.is(await primary(), promoted, 'it never was a primary again');
      assert.match(readFileSync(join(nodeFolder('a'), 'store/redis.conf'), 'utf8'), /^replicaof 127\.0\.0\.1[23] /m);
      assert.equal(
        names.map((host) => noted(host).id),
        before,
        'a Sentinel is the same after a restart',
      );
      await createTenant('last', [session]);
      const { actors } = await session.call('actor.list', { kind: 'tenant' });
      assert.equal(actors.map(({ id }) => id.split('/')[1]).toSorted(), ['early', 'last', 'late']);
    } finally {
      session.close();
    }
  });

  test('a node that is added logs in at every server and Sentinel, without a restart', async () => {
    await addNode(join(folder, 'init'), { node: 'more', role: 'worker', address: '127.0.0.1' });
    for (const host of names)
      for (const where of ['store', 'sentinel'] as const) {
        const answers = async (): Promise<boolean> => (await ask(where, host, ofNode('more'), 'PING')) === 'PONG\n';
        await withOutput(until(`the ${where} of ${host} takes it`, answers));
      }
  });
}

const reason = whyNoNix();
if (reason === undefined) declare();
else test.skip(`NOT RUN, lane 1 (the store of units that Nix renders): ${reason}`);

test.run();
