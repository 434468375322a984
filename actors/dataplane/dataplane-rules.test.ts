/**
 * The dataplane's pure parts: kernel names, owner marks, input checks, fences, dnsmasq configuration, QEMU command
 * lines. No root needed.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Elements } from '@photoncloud/machines/values/wiring';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import {
  codeOf,
  makeTestFolder,
  ownerOf,
  segmentAsk,
  tapSpec,
  testNetwork,
  type TestSegment,
} from './dataplane-for-tests.ts';
import { configText, hostText } from './dhcp/dhcp-config.ts';
import { FenceFloor } from './fence-floor.ts';
import { baselineCpu, incarnationArguments } from './hypervisor/qemu-arguments.ts';
import { kernelError } from './kernel-errors.ts';
import { KernelNames, hashName } from './kernel-names.ts';
import { aliasOf, ownerOfAlias, refuseOlder } from './owner-alias.ts';
import { checkSegment } from './segment/section-making.ts';
import { segmentSections } from './segment/segment-sections.ts';
import { checkTap, cidrParts } from './wiring-checks.ts';

const codeThrown = (work: () => void): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof PhotonError) return error.record.code;
    throw error;
  }
  return 'nothing thrown';
};

test('kernel names are short, derived, and differ by prefix, kind of object and uid', () => {
  const names = new KernelNames('pa1');
  const tap = names.tapOf(ownerOf('binding/acme/web.eth0@w1'));
  assert.match(tap, /^pa1p[a-z2-7]{11}$/);
  assert.is(tap, new KernelNames('pa1').tapOf(ownerOf('binding/acme/web.eth0@w1', 7)));
  assert.is.not(tap, names.tapOf(ownerOf('binding/acme/web.eth0@w1', 1, '01OTHERUID')));
  assert.ok(names.isTap(tap));
  assert.not.ok(names.isNamespace(tap));
  assert.not.ok(new KernelNames('pa2').isTap(tap));
  assert.is(hashName('x', 5), hashName('x', 20).slice(0, 5));
  for (const prefix of ['', 'toolong', '1a', 'A', 'a-b', 'a b']) assert.throws(() => new KernelNames(prefix));
});

test('an owner is read back from its alias; an alias of another cluster or a foreign text has no owner', () => {
  const owner = ownerOf('binding/acme/web.eth0@w1', 3);
  const alias = aliasOf('main', owner);
  assert.not.match(alias, /\s/);
  assert.equal(ownerOfAlias('main', alias), owner);
  for (const foreign of [
    undefined,
    '',
    'eth0 of bob',
    alias.replace('main', 'other'),
    `${alias}x`.replace(/\d+x$/, 'x'),
  ]) {
    assert.is(ownerOfAlias('main', foreign), null, String(foreign));
  }
  assert.throws(() => aliasOf('main', ownerOf('binding/acme/web eth0@w1')));
  assert.is(
    codeThrown(() => refuseOlder('tap', ownerOf(owner.actor, 2), owner)),
    'run_epoch_older',
  );
  refuseOlder('tap', ownerOf(owner.actor, 3), owner);
  refuseOlder('tap', ownerOf('binding/acme/other@w1', 1), owner);
});

test('one bad field of a spec stops it at the door', () => {
  const network = testNetwork();
  const checkAll = (more: Partial<TestSegment>): void => {
    const sections: Readonly<Record<string, { readonly elements: Elements }>> = segmentAsk(more).sections;
    for (const { name, check } of segmentSections) check(sections[name]?.elements ?? {});
  };
  checkAll({ peers: [{ name: 'w2', index: 2, underlay: '127.0.0.2', underlayMtu: 1500 }] });
  const withDhcp = (dhcp: object) => ({ networks: [{ ...network, dhcp: { ...network.dhcp, ...dhcp } }] });
  const bad: readonly Partial<TestSegment>[] = [
    withDhcp({ domain: 'a.b\ndhcp-script=/bin/sh' }),
    withDhcp({ search: ['a.b', 'c.d,option:x'] }),
    withDhcp({ dns: ['9.9.9.9,8.8.8.8'] }),
    withDhcp({ ntp: ['::1'] }),
    withDhcp({ ntp: ['0.0.0.0'] }),
    withDhcp({ dns: ['0.0.0.0'] }),
    withDhcp({ leaseSeconds: 1 }),
    withDhcp({ leaseSeconds: '120' }),
    { vni: 2 ** 24 },
    { vni: Number.NaN },
    { mtu: 10 },
    { routes: [{ address: '10.0.0.01', host: 2 }] },
    { routes: [{ address: '10.0.0.1', host: 300 }] },
    { networks: [testNetwork({ network: 'network/acme/front; reboot' })] },
    { networks: [testNetwork({ subnets: [{ name: 'a', cidr: '10.77.1.1/24', gateway: '10.77.1.1' }] })] },
    { self: { name: 'w1', index: 0, underlay: '127.0.0.1', underlayMtu: 1500 } },
    { peers: [{ name: 'w2', index: 2, underlay: 'w2', underlayMtu: 1500 }] },
  ];
  for (const more of bad)
    assert.is(
      codeThrown(() => checkAll(more)),
      'spec_invalid',
      JSON.stringify(more).slice(0, 400),
    );
  // What stands under another key than its own is not what it says.
  for (const { name, check } of segmentSections) {
    const elements = { elsewhere: { address: '10.0.0.1', host: 2, ...network } };
    assert.is(
      codeThrown(() => check(elements)),
      'spec_invalid',
      name,
    );
  }
  const unnamed = (vpc: string) => codeThrown(() => checkSegment({ owner: ownerOf('segment/acme/main@w1'), vpc }));
  assert.is(unnamed('vpc/acme/main; reboot'), 'spec_invalid');
  checkTap(tapSpec());
  for (const more of [
    { mac: '03:00:00:00:00:01' },
    { mac: '02-00' },
    { hostname: 'a,b' },
    { hostname: '-a' },
    { address: '1.2.3' },
    { mtu: 10 },
  ]) {
    assert.is(
      codeThrown(() => checkTap(tapSpec(11, more))),
      'spec_invalid',
      JSON.stringify(more),
    );
  }
  assert.equal(cidrParts('10.64.0.0/10'), { network: '10.64.0.0', prefixLength: 10, mask: '255.192.0.0' });
});

test('fences are kept across a restart, and a line cut short by a crash is ignored', async () => {
  const { folder, remove } = makeTestFolder();
  const owner = ownerOf('binding/acme/web@w1', 5);
  try {
    const first = await FenceFloor.open(folder);
    await first.raise('tap', owner, { era: 1, ownerEpoch: 4, version: 10 });
    assert.is(await codeOf(first.raise('tap', owner, { era: 1, ownerEpoch: 4, version: 9 })), 'fence_older');
    await first.raise('segment', owner, { era: 1, ownerEpoch: 1, version: 1 });
    await first.close();
    appendFileSync(path.join(folder, 'fences.log'), 'tap binding/acme/web@w1 01TESTUID0000000000000000A 9 9 9');
    const second = await FenceFloor.open(folder);
    assert.is(await codeOf(second.raise('tap', owner, { era: 1, ownerEpoch: 3, version: 99 })), 'fence_older');
    assert.is(
      await codeOf(second.raise('tap', { ...owner, runEpoch: 4 }, { era: 1, ownerEpoch: 5, version: 1 })),
      'run_epoch_older',
    );
    await second.raise('tap', owner, { era: 1, ownerEpoch: 4, version: 1 });
    await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        second.raise('tap', ownerOf(`binding/acme/p-${index}@w1`), { era: 1, ownerEpoch: 1, version: 1 }),
      ),
    );
    await second.close();
    assert.is(readFileSync(path.join(folder, 'fences.log'), 'utf8').trim().split('\n').length, 52);
  } finally {
    remove();
  }
});

test('a fence that could not be written does not count as seen', async () => {
  const { folder, remove } = makeTestFolder();
  try {
    const floor = await FenceFloor.open(folder);
    await floor.close();
    const owner = ownerOf('binding/acme/a@w1');
    for (let again = 0; again < 2; again += 1) {
      assert.is(await codeOf(floor.raise('tap', owner, { era: 1, ownerEpoch: 1, version: 1 })), 'dataplane_closed');
    }
  } finally {
    remove();
  }
});

test('dnsmasq gets typed options of known values and nothing else', () => {
  const text = configText({ bridge: 'tstbabc', ifindex: 7, network: testNetwork() }, '/run/x/hosts', 'nobody');
  for (const line of [
    'port=0',
    'leasefile-ro',
    'user=nobody',
    'interface=tstbabc',
    'dhcp-ignore-clid',
    'dhcp-ignore-names',
    'dhcp-range=set:tstbabcx0,10.77.1.0,static,255.255.255.0,3600',
  ]) {
    assert.ok(text.split('\n').includes(line), line);
  }
  assert.match(text, /^dhcp-option=tag:tstbabcx0,26,1400$/m);
  assert.match(text, /^dhcp-option=tag:tstbabcx0,6,9\.9\.9\.9$/m);
  assert.not.match(text, /,42,/);
  assert.is(
    hostText({ tap: 't', mac: '02:00:00:00:00:01', address: '10.0.0.5', hostname: 'web', pairs: [] }),
    '# t\n02:00:00:00:00:01,10.0.0.5,web.\n',
  );
});

test('a value from a spec is written as JSON or as an argument of its own on the QEMU command line', () => {
  const spec = {
    owner: ownerOf('incarnation/acme/web@w1'),
    vm: 'vm/acme/web',
    cpus: 2,
    memoryMib: 256,
    machineType: null,
    nics: [
      {
        port: 'port/acme/web.eth0',
        binding: 'binding/acme/web.eth0@w1',
        bindingUid: 'U',
        mac: '02:00:00:00:00:01',
        mtu: 1450,
      },
    ],
    disks: [{ volume: 'volume/acme/v', volumeUid: 'V', serial: 'S', format: 'qcow2' as const }],
    boot: null,
    seed: { instanceId: 'U', hostname: 'v', userData: 'secret', sshKeys: [], network: true },
  };
  const files = {
    pidFile: '/r/pid',
    agentSocket: '/r/a',
    toolingSocket: '/r/t',
    guestSocket: '/r/guest',
    console: '/k/console',
    consoleSocket: '/r/console',
    emptyFolder: '/r/empty',
    seed: '/r/seed',
  };
  const boot = { kernel: '/k', initrd: '/i', commandLine: 'a=1,b=2 -S' };
  const parts = {
    name: 'm',
    files,
    libDir: undefined,
    kvm: false,
    guestUid: 1_900_000_000,
    tapOf: () => 'tap0',
    fileOf: () => '/v,x/V.qcow2',
    boot,
  };
  const words = incarnationArguments(spec, parts);
  assert.ok(words.includes('a=1,b=2 -S'));
  assert.not.ok(words.some((word) => word.includes('secret')));
  const after = (flag: string): string[] => words.filter((_, index) => words[index - 1] === flag);
  assert.equal(after('-machine'), ['pc-q35-7.2']);
  assert.equal(after('-cpu'), [baselineCpu], 'never that of the host: it could not move');
  for (const word of [...after('-blockdev'), ...after('-device'), ...after('-netdev')])
    assert.type(JSON.parse(word), 'object');
  assert.is(JSON.parse(after('-blockdev')[0] ?? '').filename, '/v,x/V.qcow2');
  assert.is(JSON.parse(after('-blockdev')[1] ?? '').driver, 'qcow2');
  assert.is(JSON.parse(after('-device')[0] ?? '').host_mtu, 1450);
  assert.ok(words.includes('-S') && words.includes('-nodefaults'));
  assert.equal(after('-run-with'), ['user=1900000000:1900000000,chroot=/r/empty']);
  const { werror, rerror } = JSON.parse(after('-device')[1] ?? '') as Record<string, string>;
  assert.equal([werror, rerror], ['stop', 'stop'], 'the guest would see an error that passes');
  assert.is(JSON.parse(after('-device').at(-1) ?? '').serial, 'seed', 'last, so that no disk gets another name');
  assert.is(JSON.parse(after('-blockdev').at(-1) ?? '')['read-only'], true);
  const withAgent = incarnationArguments({ ...spec, guestAgent: true }, parts);
  const added = withAgent.filter((word) => !words.includes(word));
  assert.equal(
    withAgent.filter((word) => !added.includes(word) && word !== '-device' && word !== '-chardev'),
    words.filter((word) => word !== '-device' && word !== '-chardev'),
    'the port of a guest agent changes nothing else',
  );
  assert.is(added[0], 'socket,id=guest,path=/r/guest,server=on,wait=off');
  const [, controller, port] = added.map((word, at) => (at === 0 ? {} : (JSON.parse(word) as Record<string, string>)));
  assert.equal([controller?.['bus'], controller?.['addr']], ['pcie.0', '1e.0'], 'an address that nothing else gets');
  assert.is(port?.['name'], 'org.qemu.guest_agent.0');
});

test('messages of the kernel become errors of the group that says what the caller must do', () => {
  const groupOf = (text: string): string =>
    kernelError('trying', text).record.group + ' ' + kernelError('trying', text).record.code;
  assert.is(groupOf('RTNETLINK answers: Device or resource busy'), 'fault kernel_busy');
  assert.is(groupOf('RTNETLINK answers: Invalid argument'), 'defeat kernel_refused');
  assert.is(groupOf('Cannot find device "vx0"'), 'fault device_missing');
  assert.is(groupOf('A VXLAN device with the specified VNI already exists.'), 'fault vni_busy');
  assert.is(groupOf('ENOSPC: no space left on device, write'), 'fault storage_full');
  assert.is(groupOf('never heard of'), 'fault kernel_failed');
});

test('words of a program become one plain line, of which the beginning and the end are kept', () => {
  const { message } = kernelError('starting QEMU', 'qemu: \u001b[31mred\u0007\n\u009b2J \u202eevil\u2066').record;
  assert.is(message, 'starting QEMU failed: qemu: [31mred 2J evil');
  const long = kernelError('starting QEMU', `first ${'x'.repeat(9_000)} last`).record.message;
  assert.match(long, /failed: first x+ \.\.\. x+ last$/);
  assert.is(long.length, 'starting QEMU failed: '.length + 400);
});

test.run();
