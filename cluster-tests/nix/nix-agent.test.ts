// time limit: 480 s
// test limit: 180 s
/**
 * The agent of a host, `photon nix-agent`, with the real Nix: a small system is built, signed and put into a cache; an
 * agent whose store is empty fetches, verifies and activates it, and goes back when a step fails, when a check fails,
 * when nobody confirms, and when it was killed in between. Activation is that of the small system: what NixOS's own
 * switch-to-configuration does is not tried here.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { RolloutFolder } from '@photoncloud/actors/photon/nix-agent/rollout-files';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkout } from '../cluster/photon-commands.ts';
import { NixPlace, whyNoBuilds } from './nix-place.ts';

const nix = new NixPlace();
const of = (name: string): string => join(nix.folder, name);
const photon = join(checkout, 'actors/photon/photon-main.ts');
const agentFolder = of('agent');
const settingsPath = of('settings.json');
const current = of('current-system');
let agent: ChildProcess | undefined;
let log = '';
let count = 0;

test.after(() => {
  agent?.kill('SIGKILL');
  nix.close();
});

const must = (program: string, ...argv: readonly string[]): string => {
  const { code, stdout, stderr } = nix.run(program, argv);
  assert.is(code, 0, `${program} ${argv.join(' ').slice(0, 200)}\n${stderr}`);
  return stdout.trim();
};

/** A system whose activation links it as the current one; `end` is the code that this ends with. */
const systemOf = (name: string, end = 0): string => {
  const derive = (what: string, script: string, rest = ''): string => `derivation {
    name = "${what}"; system = "x86_64-linux"; builder = "/bin/sh"; PATH = "/usr/bin:/bin";
    args = [ "-ec" ''${script}'' ]; ${rest}
  }`;
  const etc = derive(`etc-${name}`, `echo ${name} > $out`);
  const switching = end === 0 ? `ln -sfn $out ${current}` : `exit ${end}`;
  const lines = `#!/bin/sh\\n# $etc\\n${switching}`;
  return derive(
    `nixos-system-${name}`,
    `mkdir -p $out/bin; printf "${lines}\\n" > $out/bin/switch-to-configuration
     chmod 755 $out/bin/switch-to-configuration`,
    `etc = ${etc};`,
  );
};
const build = (expression: string): string => must('nix-build', '--no-out-link', '-E', expression);

const systems = { one: '', two: '', broken: '', unsigned: '' };
const caches = { signed: `file://${of('cache')}`, unsigned: `file://${of('cache-unsigned')}` };

function makeSystems(): void {
  must('nix-store', '--generate-binary-cache-key', 'ci-1', of('secret'), of('public'));
  systems.one = build(systemOf('one'));
  systems.two = build(systemOf('two'));
  systems.broken = build(systemOf('broken', 4));
  systems.unsigned = build(systemOf('unsigned'));
  const copy = (to: string, ...paths: readonly string[]): void => void must('nix', 'copy', '--to', to, ...paths);
  copy(`${caches.signed}?secret-key=${of('secret')}`, systems.one, systems.two, systems.broken);
  copy(caches.unsigned, systems.unsigned);
  nix.empty();
  mkdirSync(agentFolder);
}

interface Settings {
  readonly confirmSeconds?: number;
  readonly healthChecks?: readonly (readonly string[])[];
}

function startAgent({ confirmSeconds = 0, healthChecks = [] }: Settings): void {
  const settings = {
    trustedPublicKeys: [readFileSync(of('public'), 'utf8').trim()],
    healthChecks,
    probeSeconds: 1,
    confirmSeconds,
    profile: of('state/profiles/system'),
    current,
  };
  writeFileSync(settingsPath, JSON.stringify(settings));
  agent = spawn(process.execPath, [photon, 'nix-agent', 'run', '--dir', agentFolder, '--settings', settingsPath], {
    env: nix.environment,
  });
  for (const stream of [agent.stdout, agent.stderr]) stream?.on('data', (bytes: Buffer) => (log += bytes.toString()));
}

async function endAgent(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  const ending = agent;
  agent = undefined;
  if (ending?.exitCode !== null || ending.signalCode !== null) return;
  const ended = new Promise((resolve) => ending.once('exit', resolve));
  ending.kill(signal);
  await ended;
}

/** A command of whoever rolls out. */
function command(...argv: readonly string[]): { readonly status: number | null; readonly text: string } {
  const given = [photon, 'nix-agent', ...argv, '--dir', agentFolder];
  const { status, stdout, stderr } = spawnSync(process.execPath, given, { encoding: 'utf8', env: nix.environment });
  return { status, text: `${stdout}${stderr}` };
}

interface Seen {
  readonly id: string;
  readonly state: string;
  readonly why: string;
}
const record = (): Seen | undefined =>
  existsSync(join(agentFolder, 'rollout.json'))
    ? (JSON.parse(readFileSync(join(agentFolder, 'rollout.json'), 'utf8')) as Seen)
    : undefined;

/** Asks for a system, and waits until the rollout of this request is in one of the states. */
async function rollOut(system: string, from: string | null, ...states: readonly string[]): Promise<Seen> {
  count += 1;
  const id = `request-${count}`;
  new RolloutFolder(agentFolder).request({ id, system, from, hold: false, askedAt: 0 });
  return await reached(id, states);
}

async function reached(id: string, states: readonly string[]): Promise<Seen> {
  for (;;) {
    const seen = record();
    if (seen?.id === id && states.includes(seen.state)) return seen;
    const ended = ['confirmed', 'refused', 'rolled-back', 'failed'].includes(seen?.state ?? '');
    assert.not.ok(seen?.id === id && ended, `it is ${seen?.state}: ${seen?.why}\n${log}`);
    assert.is(agent?.exitCode ?? null, null, log);
    await pause(50);
  }
}

const active = (): string => (existsSync(current) ? readlinkSync(current) : 'none');
const generation = (): string => readlinkSync(of(`state/profiles/${readlinkSync(of('state/profiles/system'))}`));

function declare(): void {
  test.before(makeSystems);

  test('an unsigned system is refused, and nothing is changed', async () => {
    startAgent({});
    const { why } = await rollOut(systems.unsigned, caches.unsigned, 'refused');
    assert.match(why, /signature/);
    assert.is(active(), 'none');
    assert.not.ok(existsSync(of('state/profiles/system')));
  });

  test('a signed system is fetched, activated and a generation; nothing was built on the host', async () => {
    await rollOut(systems.one, caches.signed, 'confirmed');
    assert.equal([active(), generation()], [systems.one, systems.one]);
    assert.equal(
      readdirSync(of('store')).filter((name) => name.endsWith('.drv')),
      [],
    );
    const { status, text } = command('request', systems.one, '--from', caches.signed);
    assert.is(status, 0, text);
    const { why } = await reached(/requested (\S+)/.exec(text)?.[1] ?? '', ['confirmed']);
    assert.is(why, 'it was active already');
  });

  test('a switch that fails goes back to what ran before', async () => {
    const { why } = await rollOut(systems.broken, caches.signed, 'rolled-back');
    assert.match(why, /switch-to-configuration ended with 4/);
    assert.equal([active(), generation()], [systems.one, systems.one]);
    assert.is(command('status').status, 1);
  });

  test('a check that fails goes back; so does a switch that nobody confirms', async () => {
    await endAgent();
    startAgent({ healthChecks: [['test', '-e', of('healthy')]] });
    assert.match((await rollOut(systems.two, caches.signed, 'rolled-back')).why, /a health check: test ended with 1/);
    assert.equal([active(), generation()], [systems.one, systems.one]);
    await endAgent();
    startAgent({ confirmSeconds: 1 });
    assert.match((await rollOut(systems.two, null, 'rolled-back')).why, /nobody has confirmed within 1 s/);
    assert.equal([active(), generation()], [systems.one, systems.one]);
    assert.match(command('confirm').text, /no rollout waits for a confirmation here; it is rolled-back/);
  });

  test('an agent that was killed while it waited rolls back when it starts again', async () => {
    await endAgent();
    startAgent({ confirmSeconds: 600 });
    const { id } = await rollOut(systems.two, null, 'awaiting-confirmation');
    assert.is(active(), systems.two);
    await endAgent('SIGKILL');
    startAgent({ confirmSeconds: 600 });
    const { why } = await reached(id, ['rolled-back']);
    assert.is(why, 'the agent ended while the rollout was awaiting-confirmation');
    assert.equal([active(), generation()], [systems.one, systems.one]);
  });

  test('a confirmation keeps the new system', async () => {
    const { id } = await rollOut(systems.two, null, 'awaiting-confirmation');
    assert.is(command('confirm').status, 0);
    await reached(id, ['confirmed']);
    assert.equal([active(), generation(), command('status').status], [systems.two, systems.two, 0]);
  });

  test('a system of which a file was changed after it was signed is refused', async () => {
    const file = join(systems.one, 'bin/switch-to-configuration');
    must('chmod', '-R', 'u+w', systems.one);
    rmSync(file);
    writeFileSync(file, '#!/bin/sh\nexit 0\n', { mode: 0o755 });
    const { why } = await rollOut(systems.one, null, 'refused');
    assert.match(why, /was modified/);
    assert.is(active(), systems.two);
    await endAgent();
  });
}

const reason = whyNoBuilds();
if (reason === undefined) declare();
else test.skip(`NOT RUN, lane 2 (closures are handed to a host): ${reason}`);

test.run();
