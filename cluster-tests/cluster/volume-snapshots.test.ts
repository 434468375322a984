// needs: kernel
// time limit: 600 s
// test limit: 240 s
/**
 * Volumes made from a snapshot, and restored to it, in a whole cluster with guests that keep their visits on them: a
 * clone has the visits from before the snapshot and none of those after it, also a shared one on the storage host, to
 * which the copy is carried from the worker that has it. The original is restored while its VM is stopped. The snapshot
 * is deleted meanwhile, and nothing is left at the end. The first guest has an agent, which freezes its file systems
 * for the moment of the snapshot. Volumes and a NIC also come to a guest that runs, over the death of its worker, move
 * with it to another host, and go from it there.
 */
import { seedSerial } from '@photoncloud/actors/dataplane/seed/seed-disk';
import type { ActorObject } from '@photoncloud/runtime/client/client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { notesOfVisits, readGuest, visitGuest } from '../demo/guest-page.ts';
import { buildGuestImage, findGuestAgent } from '../guest/guest-image.ts';
import { launchCluster, photonCli, startNode, type PhotonCluster } from './cluster-launch.ts';
import { CrashTenant, tenant } from './crash-tenant.ts';
import { findProgram } from './node-program.ts';
import type { PlannedNode } from './photon-commands.ts';
import { signal, until } from './process-identity.ts';
import { residueOf } from './residue-check.ts';

const test = suite('volumes from snapshots');
const nodes: readonly PlannedNode[] = [
  { name: 's1', role: 'store' },
  { name: 'c1', role: 'controller' },
  { name: 'w1', role: 'worker' },
  { name: 'w2', role: 'worker', storage: true },
];
const longMs = 120_000;

let cluster: PhotonCluster;
let acme: CrashTenant;

test.before(async () => {
  const guest = await buildGuestImage({ agent: true });
  cluster = await launchCluster({ stem: 'clones', images: { '/run/guest': guest.folder }, nodes });
  acme = await CrashTenant.open(cluster);
  await acme.declareBasics(guest.commandLine);
});

test.after(async () => {
  acme?.close();
  await cluster?.topology.stop();
});

const operate = (...argv: string[]): Promise<string> => photonCli(cluster.clientFile, ['-t', tenant, ...argv]);
const refusal = (...argv: string[]): Promise<string> => operate(...argv).then(() => 'it was accepted', String);
const vmId = (name: string): string => `vm/${tenant}/${name}`;
const hostOf = async (id: string): Promise<unknown> => ((await acme.find(id))?.status as { host?: string })?.host;

async function start(name: string, volume: string, guestAgent = false): Promise<void> {
  await acme.ask('vm.create', name, { ...acme.vmParams(), disks: [{ volume }], guestAgent });
  await acme.reachState(vmId(name), /^running$/, longMs);
}

/** What the guest of a VM has on its volume. */
async function notesOf(vm: string): Promise<readonly string[]> {
  const place = await acme.placeOf(vm);
  await readGuest(place, longMs);
  return await notesOfVisits(place);
}

async function visit(vm: string, ...notes: readonly string[]): Promise<void> {
  const place = await acme.placeOf(vm);
  await readGuest(place, longMs);
  for (const note of notes) await visitGuest(place, note);
}

test('a clone has the visits from before the snapshot, and none of those after it', async () => {
  await operate('host', 'cordon', 'w2');
  await start('web-1', 'visits', true);
  await operate('host', 'uncordon', 'w2');
  await visit('web-1', 'one', 'two', 'three');
  await operate('snapshot', 'create', 'friday', '--volume', 'visits');
  const { consistency } = (await acme.find(`snapshot/${tenant}/friday`))?.status as { readonly consistency: string };
  assert.is(consistency, findGuestAgent() === undefined ? 'crash' : 'frozen');
  await visit('web-1', 'four', 'five');
  await acme.ask('volume.create', 'clone', { sizeMib: 64, snapshot: 'friday' });
  await acme.reachState(`volume/${tenant}/clone`, /^available$/, longMs);
  assert.is(await hostOf(`volume/${tenant}/clone`), 'w1');
  await start('web-2', 'clone');
  assert.equal(await notesOf('web-2'), ['one', 'two', 'three']);
  assert.is(await hostOf(vmId('web-2')), 'w1', 'it runs where the clone has its bytes');
  await visit('web-2', 'other');
  assert.equal(await notesOf('web-1'), ['one', 'two', 'three', 'four', 'five']);
});

test('a shared one is on the storage host, to which the copy is carried', async () => {
  await acme.ask('volume.create', 'far', { class: 'shared', sizeMib: 64, snapshot: 'friday' });
  await acme.reachState(`volume/${tenant}/far`, /^available$/, longMs);
  assert.is(await hostOf(`volume/${tenant}/far`), 'w2');
  await start('web-3', 'far');
  assert.equal(await notesOf('web-3'), ['one', 'two', 'three']);
});

test('what cannot be made says why, with the field', async () => {
  for (const [params, code, path] of [
    [{ sizeMib: 64, snapshot: 'none' }, 'snapshot_not_found', 'spec.snapshot'],
    [{ sizeMib: 63, snapshot: 'friday' }, 'snapshot_larger', 'spec.sizeMib'],
  ] as const) {
    const error = (await acme.ask('volume.create', 'wrong', params).catch((one: unknown) => one)) as {
      readonly record: { readonly code: string; readonly issues: readonly { readonly path: string }[] };
    };
    assert.equal([error.record.code, error.record.issues.map((one) => one.path)], [code, [path]]);
  }
});

test('the original is restored while its VM is stopped, and needs the snapshot no longer', async () => {
  assert.match(await refusal('volume', 'restore', 'visits', '--snapshot', 'friday'), /attached to vm\/acme\/web-1/);
  await operate('vm', 'stop', 'web-1');
  await acme.reachState(vmId('web-1'), /^stopped$/, longMs);
  assert.match(await operate('volume', 'restore', 'visits', '--snapshot', 'friday'), /has the bytes of friday/);
  await acme.ask('snapshot.delete', 'friday');
  await acme.reachAbsence(`snapshot/${tenant}/friday`);
  assert.match(await operate('events', `volume/${tenant}/visits`), /restoring/);
  await operate('vm', 'start', 'web-1');
  await acme.reachState(vmId('web-1'), /^running$/, longMs);
  assert.equal(await notesOf('web-1'), ['one', 'two', 'three']);
  await visit('web-1', 'six');
  assert.equal(await notesOf('web-1'), ['one', 'two', 'three', 'six']);
  assert.equal(await notesOf('web-2'), ['one', 'two', 'three', 'other']);
  const again = { sizeMib: 64, snapshot: 'friday' };
  await acme.ask('volume.apply', 'clone', again);
  assert.match(
    await refusal('volume', 'restore', 'far', '--snapshot', 'friday'),
    /there is no snapshot\/acme\/friday|attached/,
  );
});

const [ofFront, ofBack] = [{ network: 'front' }, { name: 'eth1', network: 'back' }];

interface VmStatus {
  readonly ports: Readonly<Record<string, { readonly address: string }>>;
  readonly volumes: readonly { readonly volume: string; readonly serial: string }[];
  readonly conditions: readonly { readonly type: string; readonly status: string }[];
}

/** Declares disks and NICs of a VM that runs, and waits until its guest has them, and no others. */
async function attachOnly(
  vm: string,
  volumes: readonly string[],
  nics: readonly object[],
  meanwhile: () => Promise<unknown>,
): Promise<void> {
  await acme.ask('vm.update', vm, { ...acme.vmParams(), nics, disks: volumes.map((volume) => ({ volume })) });
  await meanwhile();
  const statusOf = (one: ActorObject | undefined): VmStatus => one?.status as unknown as VmStatus;
  const isAttached = (one: ActorObject | undefined): boolean =>
    ['DisksAttached', 'NicsAttached'].every((of) =>
      statusOf(one).conditions.some(({ type, status }) => type === of && status === 'True'),
    ) && Object.keys(statusOf(one).ports).length === nics.length;
  const known = statusOf(await acme.reach(vmId(vm), 'with its disks and NICs', isAttached, longMs));
  const wanted = [
    ...volumes.map((name) => known.volumes.find(({ volume }) => volume === `volume/${tenant}/${name}`)?.serial),
    ...Object.values(known.ports).map(({ address }) => `${address}/24`),
  ].toSorted();
  let seen: readonly string[] = [];
  const isSeen = async (): Promise<boolean> => {
    const { disks, addresses } = await readGuest(await acme.placeOf(vm));
    seen = [...disks.filter((serial) => serial !== seedSerial), ...addresses].toSorted();
    return String(seen) === String(wanted);
  };
  await until(`the guest has ${wanted.join()}`, isSeen, 20_000).catch(() => assert.equal(seen, wanted));
}

/** The NIC of a VM in the other network answers, too. */
async function answersBehind(vm: string, nic: string): Promise<void> {
  const { ports } = (await acme.find(vmId(vm)))?.status as unknown as VmStatus;
  const { address } = ports[`port/${tenant}/${vm}.${nic}`] ?? { address: 'none' };
  await readGuest({ ...(await acme.placeOf(vm)), address }, longMs);
}

test('volumes and a NIC come to a guest that runs, move with it, and go from it', async () => {
  await acme.ask('network.create', 'back', { subnets: [{ name: 'a', cidr: '10.30.0.0/24' }] });
  await acme.ask('volume.create', 'spare', { sizeMib: 32 });
  await acme.ask('volume.create', 'remote', { class: 'shared', sizeMib: 32 });
  const { boot_id: boot } = await readGuest(await acme.placeOf('web-2'));
  // The worker ends amid it, and its next one finds what is done.
  await attachOnly('web-2', ['clone', 'spare', 'remote'], [ofFront, ofBack], async () => {
    signal(findProgram(cluster.topology, 'w1', 'worker'), 'SIGKILL');
    await startNode(cluster.topology, { name: 'w1', role: 'worker' });
  });
  assert.match(String(await acme.ask('volume.delete', 'spare').catch(String)), /vm\/acme\/web-2/);
  assert.match(String(await acme.ask('port.delete', 'web-2.eth1').catch(String)), /vm\/acme\/web-2/);
  await answersBehind('web-2', 'eth1');
  await acme.ask('vm.migrate', 'web-2', { to: 'w2' });
  await acme.reachAbsence(`migration/${tenant}/web-2`, longMs);
  assert.is(await hostOf(vmId('web-2')), 'w2');
  await visit('web-2', 'moved');
  await answersBehind('web-2', 'eth1');
  await attachOnly('web-2', ['clone'], [ofFront], async () => {});
  await acme.ask('network.delete', 'back');
  for (const name of ['spare', 'remote']) {
    await acme.ask('volume.delete', name);
    await acme.reachAbsence(`volume/${tenant}/${name}`, longMs);
  }
  assert.is((await readGuest(await acme.placeOf('web-2'))).boot_id, boot);
  assert.equal(await notesOf('web-2'), ['one', 'two', 'three', 'other', 'moved']);
});

test('nothing is left', async () => {
  for (const [kind, names] of [
    ['vm', ['web-1', 'web-2', 'web-3']],
    ['volume', ['visits', 'clone', 'far']],
    ['image', ['guest-kernel', 'guest-initrd']],
    ['network', ['front']],
  ] as const)
    for (const name of names) {
      await acme.ask(`${kind}.delete`, name);
      await acme.reachAbsence(`${kind}/${tenant}/${name}`, longMs);
    }
  await acme.ask('tenant.delete', tenant);
  let left: readonly string[] = [];
  await until(
    'nothing is left',
    async () => (left = await residueOf(cluster.topology, ['w1', 'w2'])).length === 0,
    60_000,
  ).catch(() => assert.equal(left, []));
});

test.run();
