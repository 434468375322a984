/**
 * A guest that writes to its disk moves between two dataplanes with the real QEMU: forth and back, after a sending that
 * was ended, and not without the key of the migration. The guest is a boot sector that writes for ever.
 */
// needs: kernel
// time limit: 240 s
// test limit: 120 s
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { connect } from 'node:tls';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { methodFor } from '@photoncloud/machines/values/migration-limits';
import type { IncarnationSpec, OutgoingSpec } from '@photoncloud/machines/values/wiring';
import type { Dataplane } from '../contract/dataplane-contract.ts';
import type { IncomingRun } from '../contract/migration-contract.ts';
import {
  codeOf,
  inOwnNamespaces,
  makeTestFolder,
  nextCall,
  ownerOf,
  smallGuest,
  testOptions,
  testQemu,
  until,
} from '../dataplane-for-tests.ts';
import { writingGuest } from '../hypervisor/writing-guest-for-tests.ts';
import { createDataplane } from '../linux-dataplane.ts';
import { migrationPorts } from '../underlay-ports.ts';
import { downtimeLimitMs } from './migration-settings.ts';

const qemu = testQemu();

test('a guest is stopped first where its QEMU would damage it otherwise', () => {
  const methods = ['7.2.22', '9.2.0', '10.0.2', '10.0.9', '10.1.0', '11.0.0'].map((version) => [
    methodFor(version, 0),
    methodFor(version, 1),
  ]);
  const [stopped, live] = [
    ['stopped', 'stopped'],
    ['live', 'live'],
  ];
  assert.equal(methods, [stopped, stopped, ['live', 'stopped'], live, live, live]);
});

test('the guest may stand still for longer only when the passes over its memory do not end', () => {
  const limits = (most: number) => [0, 1, 3, 4, 5, 6, 7, 9].map((pass) => downtimeLimitMs(pass, most));
  assert.equal(limits(300), [25, 25, 25, 50, 100, 200, 300, 300]);
  assert.equal(limits(10), Array(8).fill(10));
});

/** Of a connection to a QEMU that waits for the memory, from a client that would take any. */
async function cipherOf(port: number, psk: Buffer): Promise<string> {
  const socket = connect({
    host: '127.0.0.1',
    port,
    minVersion: 'TLSv1.3',
    checkServerIdentity: () => undefined,
    pskCallback: () => ({ psk, identity: 'photon' }),
    // In the order in which GnuTLS offers those that fit a pre-shared key.
    ciphers: 'TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256',
  });
  try {
    await once(socket, 'secureConnect');
    return socket.getCipher().name;
  } finally {
    socket.destroy();
  }
}

function declare(): void {
  if (qemu === null) {
    test.skip('there is no QEMU in .cache/toolchain.json: run set-up first');
    return;
  }
  const { folder, remove } = makeTestFolder();
  const hosts = ['w1', 'w2'] as const;
  type Host = (typeof hosts)[number];
  const home = (host: Host): string => path.join(folder, host);
  const openAt = (host: Host, more = {}): Promise<Dataplane> =>
    createDataplane(testOptions(home(host), { qemu, host, prefix: `t${host}`, ...more }));
  const opened: Record<Host, Promise<Dataplane>> = { w1: openAt('w1'), w2: openAt('w2') };

  const volume = 'volume/acme/data';
  const file = (host: Host): string => path.join(home(host), 'volumes/DATA.raw');
  const digest = (host: Host): string =>
    createHash('sha256')
      .update(readFileSync(file(host)))
      .digest('hex');
  const writtenBytes = (host: Host): number => statSync(file(host)).blocks * 512;
  const replica = (host: Host) => ({
    owner: ownerOf(`replica/acme/data@${host}`),
    volumeUid: 'DATA',
    serial: 'SERIAL',
    sizeMib: 256,
    format: 'raw' as const,
    image: null,
  });
  const run = (host: Host, runEpoch: number): IncarnationSpec => ({
    owner: ownerOf(`incarnation/acme/web@${host}`, runEpoch, `01RUN${runEpoch}`),
    vm: 'vm/acme/web',
    ...smallGuest,
    disks: [{ volume, volumeUid: 'DATA', serial: 'SERIAL', format: 'raw' }],
    seed: { instanceId: 'I1', hostname: 'web', userData: null, sshKeys: [], network: true },
  });
  const incoming = (host: Host, runEpoch: number, migration: string): IncomingRun => ({
    ...run(host, runEpoch),
    incoming: { migration, listen: '127.0.0.1', mirrors: [volume] },
  });
  const clear = async (host: Host, spec: IncarnationSpec): Promise<void> => {
    const dp = await opened[host];
    await dp.stopIncarnation({ incarnation: spec, graceMs: 0 }, nextCall());
    await dp.cleanIncarnation(spec, nextCall());
    await dp.removeReplica(replica(host), nextCall());
  };
  /** Moves it as far as both stand still; answers how. */
  const send = async (from: Host, to: Host, spec: IncarnationSpec, target: IncomingRun) => {
    const [source, sink] = [await opened[from], await opened[to]];
    await sink.ensureReplica(replica(to), nextCall());
    const door = await sink.receiveIncarnation(target, nextCall());
    assert.equal(await sink.receiveIncarnation(target, nextCall()), { ...door, started: false }, 'asked again');
    const { host, address, port, mirrorPort } = door;
    // A host's firewall lets these ports through, and no others.
    for (const one of [port, mirrorPort ?? port])
      assert.ok(one >= migrationPorts.first && one <= migrationPorts.last, `QEMU listens at ${one}`);
    const { migration, mirrors } = target.incoming;
    const outgoing: OutgoingSpec = {
      migration,
      door: { host, address, port, mirrorPort },
      mirrors,
      maxDowntimeMs: 300,
      throttle: false,
    };
    const arrived = sink.awaitIncoming(target, nextCall());
    // A test that expects the sending to fail does not look at it.
    arrived.catch(() => undefined);
    return { sent: source.sendIncarnation({ spec, outgoing }, nextCall()), arrived };
  };
  const keyFiles = (host: Host): string[] =>
    readdirSync(`/run/photon-t${host}`, { recursive: true })
      .map(String)
      .filter((name) => name.endsWith('.psk'));

  test.after(async () => {
    for (const host of hosts) await (await opened[host]).close();
    remove();
  });

  test('it moves with its memory and its disk, and goes on there', async () => {
    const { w1, w2 } = { w1: await opened.w1, w2: await opened.w2 };
    await w1.ensureReplica(replica('w1'), nextCall());
    const disk = await open(file('w1'), 'r+');
    await disk.write(writingGuest, 0, writingGuest.length, 0);
    await disk.close();
    const [first, second] = [run('w1', 1), incoming('w2', 2, 'MIGRATION1')];
    await w1.startIncarnation(first, nextCall());
    await w1.resumeIncarnation(first, nextCall());
    await until('the guest writes', () => writtenBytes('w1') > 4 << 20);
    const { sent, arrived } = await send('w1', 'w2', first, second);
    const { method, pausedAt, sentBytes } = await sent;
    await arrived;
    assert.is(method, methodFor((await w1.observeHost(nextCall())).qemuVersion ?? '', 1));
    assert.ok(pausedAt !== null && pausedAt <= Date.now() && sentBytes > 0);
    assert.is(digest('w2'), digest('w1'), 'both have the same bytes');
    assert.equal([keyFiles('w1'), keyFiles('w2')], [[], []], 'the key is gone');
    assert.is((await w2.readIncarnation(second, nextCall())).runStatus, 'paused');
    assert.is(await codeOf(w1.resumeIncarnation(first, nextCall())), 'run_is_sent');
    const [left, written] = [digest('w1'), writtenBytes('w2')];
    await w2.resumeIncarnation(second, nextCall());
    await until('it writes on the other host', () => writtenBytes('w2') > written + (1 << 20));
    assert.is(digest('w1'), left, 'and not on this one');
    await clear('w1', first);
    assert.equal(await w1.residue(), []);
  });

  test('a sending that is ended leaves the guest where it was, and the next one succeeds', async () => {
    const w2 = await opened.w2;
    const [source, target] = [run('w2', 2), incoming('w1', 3, 'MIGRATION2')];
    const { sent } = await send('w2', 'w1', source, target);
    await sent;
    const written = writtenBytes('w2');
    // It has arrived, nobody has decided yet: it can still go back.
    for (let round = 0; round < 2; round += 1) await w2.unsendIncarnation(source, nextCall());
    await until('it writes where it was', () => writtenBytes('w2') > written + (1 << 20));
    assert.is(await w2.readOutgoing(source, nextCall()), null);
    await clear('w1', target);

    const again = incoming('w1', 3, 'MIGRATION3');
    const next = await send('w2', 'w1', source, { ...again, owner: { ...again.owner, uid: '01RUN3B' } });
    await next.sent;
    await next.arrived;
    assert.is(digest('w2'), digest('w1'));
    const moved = { ...again, owner: { ...again.owner, uid: '01RUN3B' } };
    await (await opened.w1).resumeIncarnation(moved, nextCall());
    await until('it writes on the other host', () => writtenBytes('w1') > writtenBytes('w2') + (1 << 20));
    await clear('w2', source);
    assert.equal(await w2.residue(), []);
  });

  test('the connection is encrypted with AES, for which processors have instructions', async () => {
    const w2 = await opened.w2;
    await w2.ensureReplica(replica('w2'), nextCall());
    const target = incoming('w2', 4, 'MIGRATION0');
    const { port } = await w2.receiveIncarnation(target, nextCall());
    const key = testOptions(home('w2')).migrationKey('MIGRATION0');
    assert.is(await cipherOf(port, key), 'TLS_AES_128_GCM_SHA256');
    await clear('w2', target);
  });

  test('who does not have the key gets no connection, and the guest goes on', async () => {
    const w1 = await opened.w1;
    await (await opened.w2).close();
    const stranger = await openAt('w2', { migrationKey: () => Buffer.alloc(32, 7) });
    opened.w2 = Promise.resolve(stranger);
    const source = { ...run('w1', 3), owner: ownerOf('incarnation/acme/web@w1', 3, '01RUN3B') };
    const target = incoming('w2', 4, 'MIGRATION4');
    const { sent } = await send('w1', 'w2', source, target);
    const code = await codeOf(sent);
    assert.ok(['migration_failed', 'qmp_refused'].includes(code), code);
    const written = writtenBytes('w1');
    await w1.unsendIncarnation(source, nextCall());
    await until('it writes', () => writtenBytes('w1') > written + (1 << 20));
    await clear('w2', target);
    await clear('w1', source);
    assert.equal([await w1.residue(), await stranger.residue()], [[], []]);
    assert.not.ok(existsSync('/run/photon-tw1'));
  });
}

inOwnNamespaces(import.meta.filename, declare);

test.run();
