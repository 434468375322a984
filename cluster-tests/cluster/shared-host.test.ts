/**
 * What one tenant starts on a host does not keep it, or another tenant, from that host: long imports, and VMs that get
 * their time to power off. A deleted image lets its name go although its import would take hours.
 */
// needs: kernel
// time limit: 400 s
// test limit: 200 s
// runs: campaign
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launchCluster, type PhotonCluster } from './cluster-launch.ts';
import { findProgram, isRunning } from './node-program.ts';
import { command, openClient } from './overlay-guests.ts';
import { until } from './process-identity.ts';

const test = suite('shared-host');
const inside = '/run/images';
/** More than the host runs effects at once, and more than one pool has places. */
const imports = 10;
const hugeBytes = 4 * 2 ** 40;
/** Longer than the test waits for anything else. */
const graceMs = 120_000;
const limits = { w1: { host: { effects: 4 } } };

let folder = '';
let cluster: PhotonCluster;
let operator: PhotonClient;

test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'shared-host-'));
  const huge = openSync(join(folder, 'huge.raw'), 'w');
  ftruncateSync(huge, hugeBytes);
  closeSync(huge);
  writeFileSync(join(folder, 'small.raw'), Buffer.alloc(1 << 20, 'disk'));
  const nodes = [
    { name: 's1', role: 'store' },
    { name: 'c1', role: 'controller' },
    { name: 'w1', role: 'worker' },
  ] as const;
  cluster = await launchCluster({ stem: 'sharedhost', nodes, images: { [inside]: folder }, limits });
  operator = await openClient(cluster, cluster.clientFile);
  for (const tenant of ['greedy', 'modest']) {
    await command(operator, 'create', `tenant/${tenant}/${tenant}`);
    await reach(`vpc/${tenant}/main`, /^ready$/);
    await command(operator, 'create', `network/${tenant}/front`, { subnets: [{ cidr: '10.20.0.0/24' }] });
  }
});

test.after(async () => {
  operator?.close();
  await cluster?.topology.stop(0);
  if (folder !== '') rmSync(folder, { recursive: true });
});

async function stateOf(id: string): Promise<string> {
  const { actors } = await operator.call('actor.list', { kind: id.split('/')[0] ?? '', limit: 500 });
  return actors.find((actor) => actor.id === id)?.stateName ?? 'gone';
}

async function reach(id: string, state: RegExp, withinMs = 45_000): Promise<void> {
  let last = '';
  const holds = async (): Promise<boolean> => state.test((last = await stateOf(id)));
  await until(`${id} is ${state.source}`, holds, withinMs).catch((error: unknown) => {
    throw new Error(`${String(error)}; it is ${last}`);
  });
}

const source = (name: string) => ({ source: { path: `file://${inside}/${name}` }, format: 'raw', host: 'w1' });
function importHuge(id: string): void {
  const answer = command(operator, 'create', id, source('huge.raw'));
  // It comes when the whole file was read; the deletion rejects it.
  answer.catch(() => undefined);
}

test('imports that take hours leave the host to ports, volumes, VMs and other images', async () => {
  for (let at = 0; at < imports; at += 1) importHuge(`image/greedy/huge-${at}`);
  for (let at = 0; at < imports; at += 1) await reach(`image/greedy/huge-${at}`, /^inspecting$/);
  await command(operator, 'create', 'port/modest/p', { network: 'front', host: 'w1' });
  await reach('port/modest/p', /^active$/);
  await command(operator, 'create', 'image/modest/small', source('small.raw'));
  await reach('image/modest/small', /^ready$/);
  await command(operator, 'create', 'port/greedy/p', { network: 'front', host: 'w1' });
  await reach('port/greedy/p', /^active$/);
});

test('a deleted image lets its name go, whether its import runs or waits', async () => {
  const again: Promise<unknown>[] = [];
  for (const at of [0, imports - 1]) {
    const id = `image/greedy/huge-${at}`;
    await command(operator, 'delete', id);
    await reach(id, /^gone$/, 10_000);
    again.push(command(operator, 'create', id, source('small.raw')));
  }
  for (let at = 1; at < imports - 1; at += 1) await command(operator, 'delete', `image/greedy/huge-${at}`);
  await Promise.all(again);
  for (const at of [0, imports - 1]) await reach(`image/greedy/huge-${at}`, /^ready$/);
});

test('VMs that get their time to power off hold no place of the host', async () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  for (const name of names) {
    await command(operator, 'create', `volume/greedy/${name}`, { sizeMib: 1 });
    // Its disk is empty: the firmware finds nothing to boot, and does not hear the power button.
    const parts = { nics: [{ network: 'front' }], disks: [{ volume: name }], memoryMib: 64, host: 'w1' };
    await command(operator, 'create', `vm/greedy/${name}`, parts);
  }
  for (const name of names) await reach(`vm/greedy/${name}`, /^running$/);
  for (const name of names) {
    const stopped = command(operator, 'stop', `vm/greedy/${name}`, { graceMs });
    // The answer comes when the VM has stopped, which the test does not wait for.
    stopped.catch(() => undefined);
  }
  for (const name of names) await reach(`vm/greedy/${name}`, /^stopping$/);
  for (const tenant of ['modest', 'greedy']) {
    await command(operator, 'create', `port/${tenant}/late`, { network: 'front', host: 'w1' });
    await reach(`port/${tenant}/late`, /^active$/);
  }
  for (const name of names) assert.is(await stateOf(`vm/greedy/${name}`), 'stopping');
});

test('a worker without file descriptors refuses new work by name, goes on, and takes it up again', async () => {
  const { pid } = findProgram(cluster.topology, 'w1', 'worker');
  const limitsOf = (column: string): string =>
    execFileSync('prlimit', ['--pid', `${pid}`, '--nofile', '--noheadings', '-o', column], { encoding: 'utf8' }).trim();
  const [soft, hard] = [limitsOf('SOFT'), limitsOf('HARD')];
  const limitTo = (most: number | string): void =>
    void execFileSync('prlimit', ['--pid', `${pid}`, `--nofile=${most}:${hard}`]);
  const bindingOf = async (name: string): Promise<string | undefined> => {
    const id = `binding/modest/${name}@w1`;
    if ((await stateOf(id)) === 'gone') return undefined;
    const { status } = await operator.call('actor.get', { id });
    return (status as { readonly failure: { readonly code: string } | null }).failure?.code;
  };
  const conditionsOf = async () => {
    const { status } = await operator.call('actor.get', { id: 'agent/system/w1@w1' });
    return (status as { readonly conditions: readonly { readonly type: string; readonly status: string }[] })
      .conditions;
  };
  const isLow = async (): Promise<boolean> =>
    (await conditionsOf()).some(({ type, status }) => type === 'DescriptorsFree' && status === 'False');
  /** Descriptors of the VMs before may still be closing, so what is left is measured again and again. */
  const leaveFew = (): void => limitTo(readdirSync(`/proc/${pid}/fd`).length + 48);
  leaveFew();
  await command(operator, 'create', 'port/modest/refused', { network: 'front', host: 'w1' });
  await until('it is refused by name', async () => (await bindingOf('refused')) === 'descriptors_low', 30_000);
  await until('the agent says so', async () => {
    leaveFew();
    await new Promise((resolve) => setTimeout(resolve, 500));
    return isLow();
  });
  // Not even the reserve is left: whatever the worker begins now fails, and it does not end.
  limitTo(10);
  await command(operator, 'create', 'port/modest/starved', { network: 'front', host: 'w1' });
  const names = ['descriptors_low', 'kernel_exhausted'];
  await until('it fails by name', async () => names.includes((await bindingOf('starved')) ?? ''), 30_000);
  limitTo(soft);
  for (const name of ['refused', 'starved']) await reach(`port/modest/${name}`, /^active$/);
  assert.ok(isRunning(cluster.topology, 'w1', 'worker'), 'it is the same process');
});

test.run();
