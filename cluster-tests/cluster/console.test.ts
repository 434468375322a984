// needs: kernel
// time limit: 420 s
// test limit: 240 s
/**
 * A VM as its owner works with it, through a real controller and worker: its console through pipes and on a terminal,
 * its pause and reset, also over a restart of the worker, and what is said of one that crashes again and again. The
 * guest is a boot sector that sends back what it is sent.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { echoingGuest } from '@photoncloud/actors/dataplane/hypervisor/echoing-guest-for-tests';
import { openConsole, type ConsoleSocket } from '@photoncloud/runtime/client/node-console';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launchCluster, photonCli, startNode, type PhotonCluster } from './cluster-launch.ts';
import { CrashTenant, tenant } from './crash-tenant.ts';
import { killInside, sightOf } from './crash-sight.ts';
import { findProgram, logPath } from './node-program.ts';
import { cliCommand, type PlannedNode } from './photon-commands.ts';
import { isAlive, signal, until } from './process-identity.ts';

const test = suite('console');
const worker: PlannedNode = { name: 'w1', role: 'worker' };
const nodes: readonly PlannedNode[] = [{ name: 's1', role: 'store' }, { name: 'c1', role: 'controller' }, worker];
const vm = `vm/${tenant}/echo`;
const folder = mkdtempSync(join(tmpdir(), 'photon-console-'));

let cluster: PhotonCluster;
let acme: CrashTenant;

const cli = (...argv: string[]): Promise<string> => photonCli(cluster.clientFile, argv);

test.before(async () => {
  const disk = Buffer.alloc(1 << 20);
  echoingGuest.copy(disk);
  writeFileSync(join(folder, 'guest.raw'), disk);
  cluster = await launchCluster({ stem: 'console', nodes, images: { '/run/images': folder } });
  acme = await CrashTenant.open(cluster);
  await acme.ask('tenant.create', tenant);
  await acme.reachState(`vpc/${tenant}/main`, /^ready$/);
  await acme.ask('network.create', 'front', { subnets: [{ name: 'web', cidr: '10.20.0.0/24' }] });
  await acme.ask('image.create', 'guest', { source: { path: 'file:///run/images/guest.raw' }, format: 'raw' });
  await acme.reachState(`image/${tenant}/guest`, /^ready$/);
  await acme.ask('volume.create', 'data', { sizeMib: 4, image: 'guest' });
  await acme.ask('vm.create', 'echo', { memoryMib: 64, nics: [{ network: 'front' }], disks: [{ volume: 'data' }] });
  await acme.reachState(vm, /^running$/, 90_000);
});

test.after(async () => {
  acme?.close();
  await cluster?.topology.stop();
  rmSync(folder, { recursive: true });
});

interface Opened {
  readonly text: () => string;
  readonly console: ConsoleSocket;
}

/** Opens the console as soon as that is possible: it may be in use still, or its worker on its way. */
async function open(): Promise<Opened> {
  let opened: Opened | undefined;
  await until('the console is open', async () => {
    opened = await tryOpen().catch((error: unknown) => {
      if (error instanceof PhotonError) return undefined;
      throw error;
    });
    return opened !== undefined;
  });
  return opened as Opened;
}

async function tryOpen(): Promise<Opened> {
  const grant = await acme.client.call('actor.console', { id: vm });
  let text = '';
  let isOpen = false;
  const console = openConsole({}, `ws://${cluster.relay}/api`, grant, { onBytes: (bytes) => (text += String(bytes)) });
  console.onOpen(() => (isOpen = true));
  let refusal: Error | undefined;
  console.ended.catch((error: unknown) => (refusal = error as Error));
  await until('the console is open', () => {
    if (refusal !== undefined) throw refusal;
    return isOpen;
  });
  return { text: () => text, console };
}

/** The console is in nobody's use. */
async function free(): Promise<void> {
  const { console } = await open();
  console.close();
  await console.ended;
  await new Promise((resolve) => setTimeout(resolve, 500));
}

let typed = 0;
/** Types until the guest, which may still boot, sends it back. */
async function echoes({ text, console }: Opened): Promise<void> {
  typed += 1;
  const word = `word-${typed}.`;
  await until(`the guest sends back ${word}`, async () => {
    if (text().includes(word)) return true;
    console.write(Buffer.from(word));
    await new Promise((resolve) => setTimeout(resolve, 300));
    return text().includes(word);
  });
}

/**
 * Runs the CLI with this input; on a terminal it is left once the input was sent back. @returns its output; on a
 * terminal both of its outputs
 */
function typing(input: string, argv: readonly string[], isTerminal = false): Promise<string> {
  const command = cliCommand(cluster.clientFile, argv);
  const quoted = command.map((word) => `'${word}'`).join(' ');
  const [program = '', ...rest] = isTerminal ? ['script', '-qec', quoted, '/dev/null'] : command;
  const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (bytes: Buffer) => (output += String(bytes)));
  const ended = new Promise<string>((resolve) => child.once('close', () => resolve(output)));
  if (!isTerminal) child.stdin.end(input);
  else {
    const type = setInterval(() => {
      if (output.includes(input)) child.stdin.write('\u001d');
      // Before that the terminal itself might act on the key.
      else if (output.includes('leave it')) child.stdin.write(input);
    }, 500);
    void ended.then(() => clearInterval(type));
  }
  return ended;
}

test('the console goes through the controller to the worker that has the VM, for one client at a time', async () => {
  const one = await open();
  await echoes(one);
  const second = await tryOpen().then(
    () => 'open',
    (error: unknown) => (error as PhotonError).record.message,
  );
  assert.match(second, 'another client has this console');
  one.console.close();
  const next = await open();
  assert.is(await Promise.race([next.console.ended, Promise.resolve('open')]), 'open');
  next.console.close();
});

test('photon console types its standard input and prints what comes back, with escapes in a pipe', async () => {
  await free();
  const piped = await typing('from a pipe \u001b[31m.', ['console', vm]);
  assert.match(piped, 'from a pipe \\u001b[31m.');
  await free();
  const shown = await typing('on a terminal \u001b[32m.', ['console', vm], true);
  assert.match(shown, 'on a terminal \u001b[32m.');
  assert.match(shown, 'left');
});

test('no log and no history holds a byte of a console, or its token', async () => {
  const grant = await acme.client.call('actor.console', { id: vm });
  const opened = await open();
  await echoes(opened);
  opened.console.close();
  const secret = [grant.token, 'word-'];
  for (const { name, role } of nodes) {
    const text = readFileSync(logPath(cluster.topology, name, role), 'utf8');
    for (const word of secret) assert.not.ok(text.includes(word), `the log of ${name} holds ${word}`);
  }
  assert.not.match(await cli('history', vm, '-o', 'json'), /word-\d/);
});

test('a paused guest stays paused over a restart of its worker, until it is resumed', async () => {
  await cli('vm', 'pause', vm);
  await acme.reachState(vm, /^paused$/);
  assert.match(await cli('describe', vm), /paused by a command; send vm.resume/);
  const [before] = (await sightOf(cluster.topology, 'w1')).qemus;
  const process = findProgram(cluster.topology, worker.name, worker.role);
  signal(process, 'SIGKILL');
  await until('the worker has ended', () => !isAlive(process));
  await startNode(cluster.topology, worker);
  await acme.reachState('host/system/w1', /ready$/);
  await acme.reachState(`incarnation/${tenant}/echo@w1`, /paused$/, 60_000).catch(async (error: unknown) => {
    // Pinned actors may be hidden from tenants: the VM says the same.
    if ((await acme.find(vm))?.stateName !== 'paused') throw error;
  });
  const [after] = (await sightOf(cluster.topology, 'w1')).qemus;
  assert.equal(after, before, 'the same QEMU');
  const opened = await open();
  const { length } = opened.text();
  opened.console.write(Buffer.from('while paused.'));
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  assert.not.match(opened.text().slice(length), 'while paused');
  await cli('vm', 'resume', vm);
  await until('it sends back what was typed in the meantime', () => opened.text().includes('while paused.'));
  await cli('vm', 'reset', vm);
  await echoes(opened);
  opened.console.close();
});

test('a VM whose QEMU is killed again and again says that it crashes in a loop', async () => {
  for (let crash = 1; crash <= 3; crash += 1) {
    await acme.reachState(vm, /^running$/, 90_000);
    const [qemu] = (await sightOf(cluster.topology, 'w1')).qemus;
    assert.ok(qemu);
    await killInside(cluster.topology, 'w1', qemu);
    await acme.reach(
      vm,
      `crashed ${crash} times`,
      (found) => (found?.status as { crashes: number } | undefined)?.crashes === crash,
    );
  }
  const { conditions } = (await acme.find(vm))?.status as {
    conditions: readonly { type: string; status: string; message: string }[];
  };
  const loop = conditions.find(({ type }) => type === 'CrashLoop');
  assert.is(loop?.status, 'True');
  assert.match(loop?.message ?? '', /^3 runs in a row have crashed within 10 min of their start, the last one: gone$/);
});

test.run();
