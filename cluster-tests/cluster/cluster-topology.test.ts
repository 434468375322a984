/**
 * The nodes of a topology are isolated from each other except for the underlay, and nothing of them is left after stop,
 * after SIGTERM or SIGKILL of the launcher, and after the loss of its record. Needs root.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { clusterFolder, forgetRecord, listPrefixes, prefixOfMark } from './topology-record.ts';
import { startRelay } from './cluster-relay.ts';
import { outside, Topology } from './cluster-topology.ts';
import { findProgram, isRunning, logPath, startProgram } from './node-program.ts';
import { isAlive, processesWithArgument, signal, until } from './process-identity.ts';

const test = suite('cluster-topology');
const ofPrefix = (prefix: string) => processesWithArgument((argument) => prefixOfMark(argument) === prefix);

test('nodes reach each other over the underlay and share nothing else', async () => {
  const topology = await Topology.create({ stem: 'topo', nodes: ['a', 'b'] });
  try {
    writeFileSync(join(topology.node('a').folder, 'mine'), 'of a');
    assert.is(await topology.exec('a', ['cat', '/run/photon/mine']), 'of a');
    assert.is(await topology.exec('b', ['ls', '/run/photon']), '');
    assert.is(await topology.exec('b', ['ls', clusterFolder(topology.prefix)]), '');
    await topology.exec('a', ['ip', 'netns', 'add', 'v1']);
    assert.is((await topology.exec('b', ['ip', 'netns', 'list'])).trim(), '');
    assert.ok(!existsSync('/run/netns/v1'));
    const big = ['ping', '-c', '1', '-W', '2', '-M', 'do', '-s', '1572', topology.node('b').address];
    assert.match(await topology.exec('a', big), '1 received');
    assert.match(await topology.exec('a', ['ls', '/sys/class/net']), /lo\s+und0/);
  } finally {
    await topology.stop(0);
  }
  assert.is(ofPrefix(topology.prefix).length, 0);
  assert.not.ok(listPrefixes().includes(topology.prefix));
});

test('a program logs, can be killed by its pid, and its daemons end with the node', async () => {
  const topology = await Topology.create({ stem: 'topo', nodes: ['a'] });
  try {
    const script = 'echo started; setsid sleep 1000 </dev/null >/dev/null 2>&1 & exec sleep 999';
    const program = await startProgram(topology, 'a', 'idle', ['sh', '-c', script]);
    await until('it logs', () => readFileSync(logPath(topology, 'a', 'idle'), 'utf8') === 'started\n');
    assert.ok(isRunning(topology, 'a', 'idle'));
    assert.match(await topology.exec('a', ['ps', '-e', '-o', 'args']), 'sleep 1000');
    signal(findProgram(Topology.find(topology.prefix), 'a', 'idle'), 'SIGKILL');
    await until('it is gone', () => !isAlive(program));
    assert.match(await topology.exec('a', ['ps', '-e', '-o', 'args']), 'sleep 1000');
    assert.not.match(await topology.exec('a', ['ps', '-e', '-o', 'stat']), 'Z');
  } finally {
    await topology.stop(0);
  }
});

test('a relay makes a socket of a node reachable on loopback', async () => {
  const topology = await Topology.create({ stem: 'topo', nodes: ['a'] });
  const folder = mkdtempSync(join(tmpdir(), 'relay-'));
  const server = createServer((socket) => socket.end('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello'));
  try {
    await new Promise<void>((resolve) => server.listen(join(folder, 's'), resolve));
    const url = await startRelay(topology, join(folder, 's'));
    assert.is(await (await fetch(`http://${url}/`)).text(), 'hello');
    assert.is(Topology.find(topology.prefix).record.relays.length, 1);
  } finally {
    server.close();
    await topology.stop(0);
    rmSync(folder, { recursive: true });
  }
  assert.is(ofPrefix(topology.prefix).length, 0);
});

/** A launcher process that makes a topology, prints its prefix and waits. */
async function foreignLauncher(): Promise<{ prefix: string; kill: (name: NodeJS.Signals) => Promise<void> }> {
  const code = `import { Topology } from ${JSON.stringify(join(import.meta.dirname, 'cluster-topology.ts'))};
    const t = await Topology.create({ stem: 'topo', nodes: ['a'] });
    process.stdout.write(t.prefix); setInterval(() => {}, 1000);`;
  const argv = ['--input-type=module-typescript', '-e', code];
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  const prefix = await new Promise<string>((resolve) => {
    child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString()));
  });
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  return { prefix, kill: (name) => (child.kill(name), closed) };
}

test('SIGTERM to the launcher leaves nothing', async () => {
  const launcher = await foreignLauncher();
  assert.ok(ofPrefix(launcher.prefix).length > 0);
  await launcher.kill('SIGTERM');
  await until('its processes are gone', () => ofPrefix(launcher.prefix).length === 0);
  assert.not.ok(listPrefixes().includes(launcher.prefix));
});

test('after SIGKILL to the launcher `clean` removes everything, also without the record', async () => {
  const launcher = await foreignLauncher();
  await launcher.kill('SIGKILL');
  assert.ok(ofPrefix(launcher.prefix).length > 0);
  forgetRecord(launcher.prefix);
  await Topology.clean(launcher.prefix);
  assert.is(ofPrefix(launcher.prefix).length, 0);
  assert.is(readdirSync(join(clusterFolder('x'), '..')).filter((name) => name.startsWith(launcher.prefix)).length, 0);
});

test('with uplinks there is an outside, which reaches those nodes and not the underlay', async () => {
  const topology = await Topology.create({ stem: 'topo', nodes: ['a', 'b'], uplinks: ['b'] });
  try {
    await topology.exec('b', ['ip', 'addr', 'add', '203.0.113.9/24', 'dev', outside.uplink]);
    await topology.exec(outside.node, ['ping', '-c1', '-W2', '203.0.113.9']);
    const { address } = topology.node('a');
    assert.match(await topology.exec(outside.node, ['ping', '-c1', '-W1', address]).catch(String), /unreachable/);
    assert.match(await topology.exec('a', ['ip', 'link', 'show', outside.uplink]).catch(String), /does not exist/);
  } finally {
    await topology.stop(0);
  }
});

test.run();
