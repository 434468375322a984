/**
 * Metadata on the real kernel: guests with a kernel's TCP ask 169.254.169.254, each is told what is its own; who may
 * not ask reaches nobody; the service has no rights, comes back when it dies, and goes with the last network.
 */
// needs: kernel
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { IncarnationSpec, SeedSpec } from '@photoncloud/machines/values/wiring';
import {
  codeIn,
  inOwnNamespaces,
  nextCall,
  openForTests,
  ownerOf,
  segmentAsk,
  tapSpec,
} from '../dataplane-for-tests.ts';
import { KernelNames } from '../kernel-names.ts';
import { ServiceVpc, serviceAsk, type SocketGuest } from '../service-ip/service-vpc-for-tests.ts';
import { seedImage, writeSeed } from '../seed/seed-disk.ts';
import { keepRecords } from './metadata-records.ts';

const names = new KernelNames('tst');
const front = 'network/acme/front';
const back = 'network/acme/back';
const networks = [
  { network: front, cidr: '10.77.1.0/24', gateway: '10.77.1.1' },
  { network: back, cidr: '10.88.1.0/24', gateway: '10.88.1.1' },
].map(({ network, cidr, gateway }) => ({
  network,
  uid: 'N',
  mtu: 1400,
  subnets: [{ name: 'a', cidr, gateway }],
  dhcp: { leaseSeconds: 3600, dns: [], domain: null, search: [], ntp: [] },
}));
const run = '/run/photon-tst';

/** As the start of a VM with one NIC keeps it. */
async function startVm(index: number, userData: string | null): Promise<void> {
  const { owner, mac, port, mtu } = tapSpec(index);
  const nic = { port, binding: owner.actor, bindingUid: owner.uid, mac, mtu };
  const spec: IncarnationSpec = {
    owner: ownerOf(`incarnation/acme/web-${index}@w1`),
    vm: `vm/acme/web-${index}`,
    cpus: 1,
    memoryMib: 64,
    machineType: null,
    nics: [nic],
    disks: [],
    boot: null,
    seed: { instanceId: `U${index}`, hostname: `web-${index}`, userData, sshKeys: [], network: true },
  };
  const folder = `${run}/incarnations/run${index}`;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  await writeSeed(`${folder}/seed`, seedImage(spec, spec.seed as SeedSpec, userData));
  await keepRecords(folder, spec, () => names.tapOf(owner));
}

const url = 'http://169.254.169.254/latest';
/** The body of the answer, or curl's exit code. */
const curl = (guest: SocketGuest, ...words: string[]): Promise<string> =>
  guest.inside('curl', '-s', '-m', '3', ...words).catch((error: { code: number }) => `curl ${error.code}`);
const tokenOf = (guest: SocketGuest): Promise<string> =>
  curl(guest, '-X', 'PUT', '-H', 'X-aws-ec2-metadata-token-ttl-seconds: 600', `${url}/api/token`);
const read = (guest: SocketGuest, token: string, field: string): Promise<string> =>
  curl(guest, '-H', `X-aws-ec2-metadata-token: ${token}`, `${url}/${field}`);

inOwnNamespaces(import.meta.filename, () => {
  const { opened } = openForTests();
  let vpc: ServiceVpc;
  let [web, other, far]: SocketGuest[] = [];
  const change = (put: object, removed: object = {}): Promise<void> =>
    vpc.changeSection('metadata', put as never, removed as never);
  const pid = (): number => Number(readFileSync(`${run}/metadata/${vpc.namespace}.pid`, 'utf8'));

  test.before(async () => {
    vpc = await ServiceVpc.make(await opened, { networks });
    await startVm(11, 'hunter2');
    [web, other, far] = [
      await vpc.wire(11),
      await vpc.wire(12),
      await vpc.wire(13, { network: back, address: '10.88.1.13', gateway: '10.88.1.1' }),
    ];
  });
  test.after(() => vpc.close());

  test('what is no network is refused', async () => {
    const { segment } = segmentAsk();
    const ask = { segment, changes: [{ section: 'metadata', to: 2, put: { 'x"y': {} }, removed: {} }] };
    assert.is(await codeIn((await opened).changeSegment(ask, nextCall()), 'metadata'), 'spec_invalid');
  });

  test('nobody is answered by default; in a network with metadata each guest is told its own', async () => {
    assert.is(await tokenOf(web as SocketGuest), 'curl 28');
    await change({ [front]: {} });
    const token = await tokenOf(web as SocketGuest);
    assert.match(token, /^\d+\.[\w-]{43}$/);
    assert.is(await read(web as SocketGuest, token, 'meta-data/instance-id'), 'U11');
    assert.is(await read(web as SocketGuest, token, 'user-data'), 'hunter2');
    assert.match(await tokenOf(other as SocketGuest), 'no guest with this address');
    // A VM that starts while the service runs.
    await startVm(12, null);
    await (await opened).wireTap(tapSpec(12), nextCall());
    const second = await tokenOf(other as SocketGuest);
    assert.is(await read(other as SocketGuest, second, 'meta-data/instance-id'), 'U12');
    assert.match(await read(other as SocketGuest, token, 'user-data'), 'makes a token', 'the token of another');
  });

  test('other networks, other ports, other addresses and invented senders reach nobody', async () => {
    assert.is(await tokenOf(far as SocketGuest), 'curl 28');
    assert.is(await curl(web as SocketGuest, 'http://169.254.169.254:443/'), 'curl 28');
    assert.is(await curl(web as SocketGuest, 'http://169.254.169.253/'), 'curl 28');
    const guest = web as SocketGuest;
    await guest.inside('ip', 'addr', 'add', '10.77.1.12/32', 'dev', 'eth0');
    try {
      assert.is(await curl(guest, '--interface', '10.77.1.12', '-X', 'PUT', `${url}/api/token`), 'curl 28');
    } finally {
      await guest.inside('ip', 'addr', 'delete', '10.77.1.12/32', 'dev', 'eth0');
    }
    const open = { ...tapSpec(12), portSecurity: false };
    await (await opened).wireTap(open, nextCall());
    const anybody = other as SocketGuest;
    await anybody.inside('ip', 'addr', 'add', '10.77.1.11/32', 'dev', 'eth0');
    assert.is(await curl(anybody, '--interface', '10.77.1.11', '-X', 'PUT', `${url}/api/token`), 'curl 28');
    await anybody.inside('ip', 'addr', 'delete', '10.77.1.11/32', 'dev', 'eth0');
    await (await opened).wireTap(tapSpec(12), nextCall());
  });

  test('answers have no hop left; the eleventh request in ten seconds is refused', async () => {
    const guest = other as SocketGuest;
    // A guest that takes only packets with a hop left to route them on sees none.
    await guest.inside('nft', 'add table ip t; add chain ip t in { type filter hook input priority 0; }');
    await guest.inside('nft', 'add rule ip t in ip saddr 169.254.169.254 ip ttl 1 counter');
    await guest.inside('nft', 'add rule ip t in ip saddr 169.254.169.254 ip ttl != 1 counter drop');
    const codes: string[] = [];
    for (let asked = 0; asked < 11; asked += 1)
      codes.push(await curl(guest, '-o', '/dev/null', '-w', '%{http_code}', `${url}/user-data`));
    assert.is(codes.at(-1), '429', codes.join(' '));
    const counted = await guest.inside('nft', 'list', 'chain', 'ip', 't', 'in');
    assert.match(counted, /ttl 1 counter packets [1-9]/);
    assert.match(counted, /ttl != 1 counter packets 0 /);
  });

  test('the service has a user of its own, no capability, and the records of its VPC alone', async () => {
    const status = readFileSync(`/proc/${pid()}/status`, 'utf8');
    const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? '';
    assert.is(new Set([...field('Uid').split('\t'), ...field('Gid').split('\t')]).size, 1, field('Uid'));
    assert.is(field('Uid').split('\t')[0], '1899999999');
    for (const set of ['CapPrm', 'CapEff', 'CapInh']) assert.match(field(set), /^0+$/, set);
    assert.is(field('NoNewPrivs'), '1');
    assert.match(readFileSync(`/proc/${pid()}/cmdline`, 'utf8'), '--permission');
    assert.not.match(readFileSync(`/proc/${pid()}/cmdline`, 'utf8'), 'hunter2');
    const folder = `${run}/metadata/${vpc.namespace}`;
    assert.equal(readdirSync(folder).sort(), ['10.77.1.11', '10.77.1.12']);
    assert.equal(
      [statSync(folder).mode & 0o777, statSync(path.join(folder, '10.77.1.11')).mode & 0o777],
      [0o700, 0o400],
    );
  });

  test('a service that dies is noticed and started again; the controllers are not asked', async () => {
    const dp = await opened;
    const { segment } = segmentAsk();
    const before = pid();
    process.kill(before, 'SIGKILL');
    const { reason } = await dp.watchSegment({ segment, sections: ['metadata'] }, nextCall());
    assert.is(reason, 'metadata_gone');
    const elements = { [front]: {} };
    const asked = { segment, sections: { metadata: { generation: 9, elements } } };
    assert.match(JSON.stringify((await dp.readSegment(asked, nextCall())).drift), /no metadata service/);
    const whole = serviceAsk({ networks, generation: 9 });
    const sections = { ...whole.sections, metadata: { generation: 9, elements } };
    assert.equal((await dp.realizeSegment({ ...whole, sections }, nextCall())).failed, {});
    assert.is.not(pid(), before);
    const guest = web as SocketGuest;
    const token = await tokenOf(guest);
    assert.is(await read(guest, token, 'user-data'), 'hunter2');
  });

  test('a port that goes is told nothing more; the service goes with the last network, whole', async () => {
    const dp = await opened;
    const last = pid();
    await dp.removeTap({ ...tapSpec(12) }, nextCall());
    assert.not.ok(existsSync(`${run}/metadata/${vpc.namespace}/10.77.1.12`));
    const asked = {
      segment: segmentAsk().segment,
      changes: [{ section: 'metadata', to: 10, put: {}, removed: { [front]: {} } }],
    };
    assert.equal((await dp.changeSegment(asked, nextCall())).failed, {});
    assert.not.ok(existsSync(`/proc/${last}`));
    assert.equal(readdirSync(`${run}/metadata`), []);
    assert.is(await tokenOf(web as SocketGuest), 'curl 28');
    assert.is(await vpc.inside('ip', 'route', 'show', 'table', 'local', '169.254.169.254'), '');
  });
});
test.run();
