// needs: kernel
// time limit: 900 s
// test limit: 240 s
/**
 * A rollout of a whole cluster: three workers in namespaces of their own, each with the agent of its host and a Nix
 * store of its own, and systems that were built and signed with the real Nix. Nothing is activated before every host
 * has verified its system; the canary goes first, alone, and the first host that fails stops it; a host that cannot be
 * reached over a new connection goes back, also when its links live on; programs that are killed change nothing of the
 * end. Activation is that of the small systems (nix-systems.ts). The campaign has all cases (PHOTON_ROLLOUTS=all).
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launchCluster, photonCli, startNode, type PhotonCluster } from '../cluster/cluster-launch.ts';
import { findProgram, startProgram } from '../cluster/node-program.ts';
import { checkout, type PlannedNode } from '../cluster/photon-commands.ts';
import { signal, until } from '../cluster/process-identity.ts';
import { insideFolder } from '../cluster/topology-record.ts';
import { nodeFlags } from '../harness/node-flags.ts';
import { NixPlace, whyNoBuilds } from './nix-place.ts';
import { NixSystems } from './nix-systems.ts';

const test = suite('rollout');
const workers = ['w1', 'w2', 'w3'] as const;
const nodes: readonly PlannedNode[] = [
  { name: 's1', role: 'store' },
  { name: 'c1', role: 'controller' },
  ...workers.map((name) => ({ name, role: 'worker' }) as const),
];
const place = new NixPlace();
const current = `${insideFolder}/current-system`;
const folderIn = (name: string): string => join(cluster.topology.node(name).folder, 'nix-agent');

let cluster: PhotonCluster;
let systems: NixSystems;
let count = 0;
const built = { one: '', two: '', broken: '', cut: '', unsigned: '', torn: '', partless: '' };
const caches = { signed: '', unsigned: '', torn: '', partless: '' };

/** A switch takes a while, so that others could begin meanwhile; it undoes what a bad one has cut. */
const plain = 'nft delete table inet cut 2>/dev/null || true; sleep 1';
/** What is connected stays connected: only a new connection shows that the host cannot be reached. */
const cutting = `${plain}; nft 'add table inet cut; add chain inet cut in { type filter hook input priority -300; }; \
add rule inet cut in tcp dport 7443 ct state new drop'`;

function makeSystems(): void {
  systems = new NixSystems(place, current);
  built.one = systems.build({ name: 'one', script: plain });
  built.two = systems.build({ name: 'two', script: plain });
  built.broken = systems.build({ name: 'broken', script: 'exit 4' });
  built.cut = systems.build({ name: 'cut', script: cutting });
  for (const name of ['unsigned', 'torn', 'partless'] as const) built[name] = systems.build({ name });
  caches.signed = systems.cache('cache', true, built.one, built.two, built.broken, built.cut);
  caches.unsigned = systems.cache('cache-unsigned', false, built.unsigned);
  caches.torn = systems.cache('cache-torn', true, built.torn);
  caches.partless = systems.cache('cache-partless', true, built.partless);
  const files = (cache: string, form: RegExp): string[] =>
    readdirSync(join(place.folder, cache), { recursive: true, encoding: 'utf8' })
      .filter((name) => form.test(name))
      .map((name) => join(place.folder, cache, name));
  for (const path of files('cache-torn', /\.nar/)) {
    const bytes = readFileSync(path);
    const at = bytes.length >> 1;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(path, bytes);
  }
  const part = files('cache-partless', /\.narinfo$/).find((path) =>
    /^StorePath: .*-etc-partless$/m.test(readFileSync(path, 'utf8')),
  );
  rmSync(part ?? '');
  // Another host gets from the same cache what is right.
  for (const name of ['cache-unsigned', 'cache-torn', 'cache-partless']) systems.cache(name, true, built.two);
  place.empty();
}

/** An empty store and state of the host, where Nix looks for them. */
async function prepareHost(name: string): Promise<void> {
  const { topology } = cluster;
  mkdirSync(folderIn(name), { mode: 0o700 });
  for (const part of ['store', 'state']) {
    mkdirSync(join(topology.node(name).folder, 'nix', part), { recursive: true });
    mkdirSync(join(place.folder, part), { recursive: true });
    await topology.exec(name, ['mount', '--bind', `${insideFolder}/nix/${part}`, join(place.folder, part)]);
  }
  const settings = {
    trustedPublicKeys: [readFileSync(systems.publicKey, 'utf8').trim()],
    healthChecks: [['test', '!', '-e', `${insideFolder}/ill`]],
    probeSeconds: 1,
    confirmSeconds: 30,
    profile: join(place.folder, 'state/profiles/system'),
    current,
  };
  writeFileSync(join(topology.node(name).folder, 'nix-agent.json'), JSON.stringify(settings));
  await startAgent(name);
}

async function startAgent(name: string): Promise<void> {
  const main = join(checkout, 'actors/photon/photon-main.ts');
  const argv = [
    'nix-agent',
    'run',
    '--dir',
    `${insideFolder}/nix-agent`,
    '--settings',
    `${insideFolder}/nix-agent.json`,
  ];
  const environment = Object.fromEntries(
    Object.entries(place.environment).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  );
  const path = { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };
  await startProgram(cluster.topology, name, 'nix-agent', [process.execPath, ...nodeFlags, main, ...argv], {
    ...environment,
    ...path,
  });
}

const kill = (node: string, program: string): void =>
  void signal(findProgram(cluster.topology, node, program), 'SIGKILL');

interface AgentRecord {
  readonly state: string;
  readonly system: string;
}
const recordOf = (name: string): AgentRecord | undefined => {
  const path = join(folderIn(name), 'rollout.json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as AgentRecord) : undefined;
};
const activeOn = (name: string): string =>
  built.one === '' ? '' : readlinkSync(join(cluster.topology.node(name).folder, 'current-system'));
const active = (): string[] => workers.map(activeOn);
const named = (...all: readonly (keyof typeof built)[]): string[] => all.map((name) => built[name]);

interface HostLine {
  readonly host: string;
  readonly phase: string;
  readonly why: string;
}
interface Status {
  readonly state: string;
  readonly reason: string;
  readonly hosts: readonly HostLine[];
}

/** `photon` with these words. @returns its exit code and all that it has written */
async function photon(...argv: readonly string[]): Promise<{ code: number; text: string }> {
  try {
    return { code: 0, text: await photonCli(cluster.clientFile, argv, 200_000) };
  } catch (error) {
    const { code = -1, stdout = '', stderr = '' } = error as { code?: number; stdout?: string; stderr?: string };
    return { code, text: `${stdout}${stderr}` };
  }
}

async function statusOf(name: string): Promise<Status> {
  const { text } = await photon('rollout', 'status', name, '-o', 'json');
  return JSON.parse(text) as Status;
}

const busyStates = ['staged', 'activating', 'probing', 'awaiting-confirmation', 'rolling-back'];
/** How many hosts are between their switch and their end, as their agents record it. */
const busyHosts = (): string[] => workers.filter((name) => busyStates.includes(recordOf(name)?.state ?? ''));

interface Plan {
  readonly from?: string;
  readonly words?: readonly string[];
  /** Called many times a second while it runs. */
  readonly onLook?: (busy: readonly string[]) => Promise<void> | void;
}

/** Rolls out, and watches the agents until it has ended. */
async function rollOut(on: Readonly<Record<string, string>>, { from = caches.signed, words = [], onLook }: Plan = {}) {
  count += 1;
  const name = `r${count}`;
  const given = Object.entries(on).flatMap(([host, system]) => ['--system', `${host}=${system}`]);
  const running = photon('rollout', 'start', name, ...given, '--from', from, ...words, '--watch', '--timeout', '180');
  let most = 0;
  let isOver = false;
  void running.then(() => (isOver = true));
  while (!isOver) {
    const busy = busyHosts();
    most = Math.max(most, busy.length);
    await onLook?.(busy);
    await pause(50);
  }
  return { ...(await running), name, most };
}

const everywhere = (system: string): Record<string, string> =>
  Object.fromEntries(workers.map((name) => [name, system]));

test.before(async () => {
  makeSystems();
  cluster = await launchCluster({ stem: 'rollout', nodes, nixAgents: workers });
  for (const name of workers) await prepareHost(name);
});

test.after(async () => {
  await cluster?.topology.stop();
  place.close();
});

test('every host gets its system: the canary first, then no more at once than was said', async () => {
  const { code, text, most, name } = await rollOut(everywhere(built.one), { words: ['--canary', 'w2'] });
  assert.is(code, 0, text);
  assert.equal(active(), named('one', 'one', 'one'));
  assert.is(most, 1);
  const order = [...text.matchAll(/^(w\d) +activating/gm)].map(([, host]) => host);
  assert.equal([...new Set(order)][0], 'w2', text);
  assert.match(text, /completed: 3 of 3 hosts run their new systems/);
  const { code: shown, text: table } = await photon('rollout', 'status', name);
  assert.is(shown, 0, table);
  assert.match(table, /^w1 +confirmed +\/\S+-nixos-system-one$/m);
});

test('one host that cannot verify its system: nothing is activated anywhere', async () => {
  for (const [from, bad, why] of [
    [caches.unsigned, built.unsigned, /signature/],
    [caches.torn, built.torn, /hash|corrupt|mismatch|decompress|bad archive|lzma|xz/i],
    [caches.partless, built.partless, /not valid|does not exist|cannot|not found|don't know/],
  ] as const) {
    const { code, text, most, name } = await rollOut({ w1: built.two, w3: bad }, { from });
    assert.is(code, 1, text);
    assert.is(most, 0);
    assert.match(text, /w3 has refused its system: /);
    const { hosts } = await statusOf(name);
    assert.match(hosts.find(({ host }) => host === 'w3')?.why ?? '', why);
    assert.equal(active(), named('one', 'one', 'one'));
  }
});

/** Cases whose causes differ from those of the others, and what becomes of the rollout does not. */
const ofCampaign = (name: string, body: () => Promise<void>): void => {
  if (process.env['PHOTON_ROLLOUTS'] === 'all') test(name, body);
  else test.skip(`left to npm run campaign: ${name}`);
};

ofCampaign('a canary whose switch fails goes back, and the others are left as they are', async () => {
  const { code, text, name } = await rollOut({ w1: built.broken, w2: built.two, w3: built.two });
  assert.is(code, 1, text);
  assert.match(text, /w1 has gone back: switching: \S+ ended with 4.*0 of 3 hosts.*w2, w3 were left as before/);
  const { state, hosts } = await statusOf(name);
  assert.equal([state, ...hosts.map(({ phase }) => phase)], ['failed', 'rolledBack', 'untouched', 'untouched']);
  assert.equal(active(), named('one', 'one', 'one'));
});

test('a host that cannot be reached over a new connection goes back, although its links live on', async () => {
  const { code, text } = await rollOut({ w1: built.cut, w2: built.two });
  assert.is(code, 1, text);
  assert.match(text, /w1 +confirming +cannot be reached over a new connection/);
  assert.match(text, /w1 has gone back: nobody has confirmed within 30 s/);
  assert.equal(active(), named('one', 'one', 'one'));
});

ofCampaign('a host that is ill after its switch stops the rollout: those before it keep their systems', async () => {
  const ill = join(cluster.topology.node('w2').folder, 'ill');
  writeFileSync(ill, '');
  const { code, text } = await rollOut(everywhere(built.two));
  rmSync(ill);
  assert.is(code, 1, text);
  assert.match(text, /w2 has gone back: a health check: .*1 of 3 hosts.*w3 was left as before/);
  assert.equal(active(), named('two', 'one', 'one'));
});

test('programs that are killed in any step: the same end', async () => {
  await rollOut({ w1: built.one });
  const killed = new Set<string>();
  const once = async (what: string, task: () => Promise<void>): Promise<void> => {
    if (killed.has(what)) return;
    killed.add(what);
    await task();
  };
  const { code, text, most } = await rollOut(everywhere(built.two), {
    onLook: async () => {
      const state = (name: string): string =>
        recordOf(name)?.system === built.two ? (recordOf(name)?.state ?? '') : '';
      if (state('w3') === 'verified')
        await once('agent', async () => {
          kill('w3', 'nix-agent');
          await startAgent('w3');
        });
      if (state('w1') === 'activating')
        await once('worker', async () => {
          kill('w1', 'worker');
          await startNode(cluster.topology, { name: 'w1', role: 'worker' });
        });
      if (state('w2') === 'activating')
        await once('controller', async () => {
          kill('c1', 'controller');
          await startNode(cluster.topology, { name: 'c1', role: 'controller' });
        });
    },
  });
  assert.is(code, 0, text);
  assert.equal([...killed].toSorted(), ['agent', 'controller', 'worker']);
  assert.is(most, 1);
  assert.equal(active(), named('two', 'two', 'two'));
});

test('a second rollout, an unknown host and a silent one are refused; one is ended, and a host is kept', async () => {
  count += 1;
  const held = `r${count}`;
  const given = ['--system', `w1=${built.one}`, '--system', `w2=${built.one}`, '--from', caches.signed];
  const { code, text } = await photon('rollout', 'start', held, ...given, '--hold', '--watch');
  assert.is(code, 0, text);
  assert.match(text, /holding: 1 of 2 hosts.*photon rollout confirm/);
  const second = await photon('rollout', 'start', 'second', '--system', `w3=${built.one}`);
  assert.is(second.code, 1);
  const busy = new RegExp(`rollout/system/${held} is under way.*photon rollout abort ${held}`);
  assert.match(second.text, busy, second.text);
  assert.match((await photon('rollout', 'abort', held)).text, /is being ended/);
  await until('it has ended', async () => (await statusOf(held)).state === 'aborted', 30_000);
  assert.equal(active(), named('one', 'two', 'two'));
  const stranger = await photon('rollout', 'start', 'stranger', '--system', `w9=${built.one}`);
  assert.is(stranger.code, 1);
  assert.match(stranger.text, /w9/);
  kill('w3', 'worker');
  const isSilent = async (): Promise<boolean> =>
    !/"stateName": "present/.test((await photon('-t', 'system', 'get', 'host', 'w3', '-o', 'json')).text);
  await until('w3 is silent', isSilent, 60_000);
  const silent = await photon('rollout', 'start', 'silent', '--system', `w3=${built.one}`);
  assert.is(silent.code, 1, silent.text);
  assert.match(silent.text, /w3 is not present; bring it back, or leave (it )?out of the rollout/);
  await startNode(cluster.topology, { name: 'w3', role: 'worker' });
});

const reason = whyNoBuilds();
if (reason !== undefined) suite('rollout').skip(reason);
test.run();
