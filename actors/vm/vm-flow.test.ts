/**
 * Flows of a VM in the in-memory test system, with tenant, network, ports, volumes and cluster: declared, run, changed,
 * deleted. The test plays QEMU and the bytes of volumes.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { hostFacts, vmDefinitions } from '../port/cloud-for-tests.ts';
import { InMemoryActors } from '../port/in-memory-actors-for-tests.ts';
import { MemoryNetwork } from '../port/memory-network-for-tests.ts';

const facts = { ...hostFacts, underlay: '192.0.2.1', peerUrl: 'https://w1' };
const vm = 'vm/acme/web';
const proof = { pid: 7, startTime: '9', qemuVersion: '10.0.2', machineType: 'pc-q35-10.0' };

interface Run {
  readonly owner: { readonly uid: string; readonly runEpoch: number };
  readonly cpus: number;
  readonly memoryMib: number;
  readonly nics: readonly { readonly port: string; readonly binding: string }[];
  readonly disks: readonly { readonly volume: string }[];
}

/** A VM `web` with one NIC and one disk, and the actors that it needs. */
class Site {
  readonly network = new MemoryNetwork();
  readonly actors = new InMemoryActors(vmDefinitions(this.network));
  /** The start parameters of QEMU, per run. */
  readonly runs: Run[] = [];

  async ask(to: string, name: string, params: object = {}, metadata: object = {}) {
    const id = this.actors.ask(to, name, params as Readonly<Record<string, unknown>>, metadata);
    await this.settle();
    return this.actors.answers.get(id);
  }

  /** Answers requests for runs and bytes of volumes until there are no more. */
  async settle(): Promise<void> {
    await this.actors.settle();
    const asked = this.actors.deadLetters.splice(0);
    for (const { to, event } of asked) this.answer(to, event);
    if (asked.length > 0) await this.settle();
  }

  private answer(to: string, event: { readonly type: string; readonly [field: string]: unknown }): void {
    const [kind = '', tenant = '', rest = ''] = to.split('/');
    const [name = '', host = ''] = rest.split('@');
    const tell = (whom: string, type: string, fields: object): void =>
      this.actors.tell(`${whom}/${tenant}/${name}`, { type, host, ...fields }, to);
    if (event.type === 'replica.ensure') tell('volume', 'replica.ready', {});
    if (event.type === 'incarnation.start') {
      const run = event['spec'] as Run;
      if (this.runs.at(-1)?.owner.uid !== run.owner.uid) this.runs.push(run);
      for (const { binding } of run.nics) this.actors.tell(binding, { type: 'binding.wire', requester: to }, to);
      const { uid: incarnationUid, runEpoch } = run.owner;
      tell('vm', 'incarnation.running', { runEpoch, incarnationUid, proof });
    }
    if (event.type === 'incarnation.stop') {
      const { incarnationUid } = event;
      tell('vm', 'incarnation.ended', { runEpoch: null, incarnationUid, reason: 'stopped', error: null });
    }
    if (kind === 'vm') throw new Error(`${event.type} is sent to ${to}, which does not exist`);
  }

  get generations(): readonly unknown[] {
    const { generation, observedGeneration } = this.actors.context(vm);
    return [generation, observedGeneration];
  }
  condition(of: string): string | undefined {
    const conditions = this.actors.context(vm)['conditions'] as readonly { type: string; status: string }[];
    return conditions.find(({ type }) => type === of)?.status;
  }
  message(of: string): string | undefined {
    const conditions = this.actors.context(vm)['conditions'] as readonly { type: string; message: string }[];
    return conditions.find(({ type }) => type === of)?.message;
  }
  get ports(): readonly string[] {
    return [...this.actors.hosts.keys()].filter((id) => id.startsWith('port/')).sort();
  }
  get reserved(): readonly unknown[] {
    const { w1 } = this.actors.context('cluster/system/main')['hosts'] as Record<string, Record<string, unknown>>;
    return [w1?.['reservedCpus'], w1?.['reservedMib'], w1?.['vms']];
  }
}

const nic = (name: string, more: object = {}) => ({ name, network: 'front', ...more });
const spec = { nics: [nic('eth0')], disks: [{ volume: 'root' }] };

async function site(): Promise<Site> {
  const made = new Site();
  made.actors.tell('cluster/system/main', { type: 'cluster.open', name: 'test' });
  made.actors.tell('host/system/w1', { type: 'host.announce', host: 'w1', boot: 'b1', facts });
  await made.settle();
  for (const [id, params] of [
    ['tenant/acme/acme', {}],
    ['network/acme/front', { subnets: [{ cidr: '10.0.0.0/24' }] }],
    ['volume/acme/root', { sizeMib: 64 }],
    ['volume/acme/data', { sizeMib: 64 }],
    [vm, spec],
  ] as const) {
    const answer = await made.ask(id, 'create', params);
    assert.equal(answer?.ok, true, `${id} ${JSON.stringify(answer)}`);
  }
  return made;
}

test('a declared VM runs, and leaves nothing', async () => {
  const made = await site();
  assert.equal([made.actors.state(vm), made.generations], ['running', [1, 1]]);
  assert.equal([made.condition('Ready'), made.condition('RestartRequired')], ['True', 'False']);
  assert.is(made.actors.state('port/acme/web.eth0'), 'active');
  assert.equal(made.reserved, [1, 256, 1]);
  const unchanged = await made.ask(vm, 'apply', spec);
  assert.is((unchanged?.result as { result: string }).result, 'unchanged');
  assert.is((await made.ask(vm, 'apply', spec, { protect: true }))?.ok, true);
  assert.is((await made.ask(vm, 'delete'))?.code, 'protected');
  await made.ask(vm, 'update', spec, { protect: false });
  assert.is((await made.ask(vm, 'delete'))?.ok, true);
  assert.equal([made.actors.state(vm), made.ports, made.network.taps.size], [undefined, [], 0]);
  assert.equal(made.reserved, [0, 0, 0]);
  assert.is(made.actors.context('volume/acme/root')['holder'], null);
});

test('a tenant is shown no name of a host, nothing of its kernel, no free memory and no allowed root', async () => {
  const made = await site();
  const secrets = /w1|192\.0\.2\.1|ifindex|"pid"|3840|\/srv/;
  const shown = (to: 'tenant' | 'operator'): string[] =>
    [...made.actors.hosts.keys()]
      .filter((id) => id.split('/')[1] === 'acme' && !id.includes('@'))
      .map((id) => `${id} ${JSON.stringify(made.actors.shown(id, to))}`);
  const leaks = (): string[] => shown('tenant').filter((text) => secrets.test(text));
  assert.is(shown('tenant').length, 8);
  assert.is(shown('operator').filter((text) => /w1/.test(text)).length, 4, 'VM, port, volume and VPC');
  assert.equal(leaks(), []);
  await made.ask('vm/acme/big', 'create', { nics: [nic('eth0')], disks: [{ volume: 'data' }], memoryMib: 8_192 });
  assert.is(made.actors.state('vm/acme/big'), 'unplaced');
  const { failure } = made.actors.shown('vm/acme/big', 'tenant').status as { failure: { message: string } };
  const wanted = 'no host can take vm/acme/big: each of them has less than 8192 MiB of memory free';
  assert.is(failure.message, wanted);
  assert.equal(leaks(), []);
});

test('a changed size waits for the restart, and is reserved before the next run', async () => {
  const made = await site();
  const answer = await made.ask(vm, 'update', { ...spec, cpus: 2, memoryMib: 1_024 });
  assert.equal(answer?.ok, true);
  assert.equal([made.actors.state(vm), made.generations, made.reserved], ['running', [2, 1], [1, 256, 1]]);
  assert.is(made.condition('RestartRequired'), 'True');
  await made.ask(vm, 'restart');
  assert.equal([made.actors.state(vm), made.generations, made.reserved], ['running', [2, 2], [2, 1_024, 1]]);
  assert.is(made.condition('RestartRequired'), 'False');
  assert.equal(
    made.runs.map(({ cpus, memoryMib }) => [cpus, memoryMib]),
    [
      [1, 256],
      [2, 1_024],
    ],
  );
});

test('NICs and disks come and go with the next start', async () => {
  const made = await site();
  const more = {
    nics: [nic('eth0'), nic('eth1', { address: '10.0.0.77' })],
    disks: [...spec.disks, { volume: 'data' }],
  };
  const added = await made.ask(vm, 'update', more);
  const { ports } = added?.result as { ports: Readonly<Record<string, { address: string }>> };
  assert.is(ports['port/acme/web.eth1']?.address, '10.0.0.77');
  assert.equal([made.actors.state('port/acme/web.eth1'), made.generations], ['unbound', [2, 1]]);
  assert.is(made.actors.context('volume/acme/data')['holder'], null);
  await made.ask(vm, 'restart');
  assert.equal([made.actors.state('port/acme/web.eth1'), made.generations], ['active', [2, 2]]);
  assert.is(made.actors.context('volume/acme/data')['holder'], vm);
  assert.equal([made.runs.at(-1)?.nics.length, made.runs.at(-1)?.disks.length], [2, 2]);
  await made.ask(vm, 'update', spec);
  assert.equal(made.ports, ['port/acme/web.eth0', 'port/acme/web.eth1'], 'the run has it still');
  await made.ask(vm, 'restart');
  assert.equal([made.ports, made.generations], [['port/acme/web.eth0'], [3, 3]]);
  assert.is(made.actors.context('volume/acme/data')['holder'], null);
  assert.equal([made.runs.at(-1)?.nics.length, made.runs.at(-1)?.disks.length], [1, 1]);
  assert.is(made.network.taps.size, 1);
});

test('an unavailable address rejects the change, and nothing is changed', async () => {
  const made = await site();
  const wrong = { ...spec, nics: [nic('eth0'), nic('eth1'), nic('eth2', { address: '10.9.0.9' })] };
  const answer = await made.ask(vm, 'apply', wrong);
  assert.equal([answer?.code, answer?.issues?.[0]?.path], ['address_outside_subnet', 'spec.nics.2.address']);
  assert.equal([made.ports, made.generations], [['port/acme/web.eth0'], [1, 1]]);
  assert.equal(made.actors.context(vm)['claimed'], ['port/acme/web.eth0']);
  assert.is((await made.ask(vm, 'apply', spec))?.ok, true, 'the next change is not kept waiting');
});

test('when the only free address rests, a creation is refused at once, with the time when it is free', async () => {
  const made = await site();
  await made.ask('network/acme/small', 'create', { subnets: [{ cidr: '10.1.0.0/28' }] });
  const fill = async (index: number) => made.ask(`port/acme/p${index}`, 'create', { network: 'small' });
  for (let index = 0; index < 10; index += 1) assert.is((await fill(index))?.ok, true, `port ${index}`);
  assert.is((await made.ask('port/acme/p3', 'delete'))?.ok, true);
  const one = 'vm/acme/one';
  const full = { nics: [nic('eth0'), nic('eth1', { network: 'small' })], disks: [{ volume: 'data' }] };
  for (const [id, params, path] of [
    [one, full, 'spec.nics.1.address'],
    ['port/acme/q', { network: 'small' }, 'spec.address'],
  ] as const) {
    const answer = await made.ask(id, 'create', params);
    assert.equal([answer?.code, answer?.issues?.[0]?.path], ['addresses_resting', path]);
    assert.match(answer?.message ?? '', /available in 600 s/);
    assert.is(made.actors.state(id), undefined, 'nothing is left of it');
  }
  const changed = await made.ask(vm, 'update', { ...spec, nics: [nic('eth0'), nic('eth1', { network: 'small' })] });
  assert.equal([changed?.code, changed?.issues?.[0]?.path], ['addresses_resting', 'spec.nics.1.address']);
  assert.is((await made.ask(one, 'create', { ...full, nics: [nic('eth0')] }))?.ok, true, 'the name is free');
  assert.is((await made.ask('port/acme/p3', 'create', { network: 'small' }))?.ok, true, 'it rests for others only');
});

test('a VM that waits for its network on the host says why, and can be deleted meanwhile', async () => {
  const made = await site();
  await made.ask(vm, 'delete');
  await made.ask('network/acme/front', 'delete');
  made.network.failNext('realizeSegment', ...Array<'fault'>(50).fill('fault'));
  await made.ask('network/acme/front', 'create', { subnets: [{ cidr: '10.0.0.0/24' }] });
  assert.is((await made.ask(vm, 'create', spec))?.ok, true);
  const port = 'port/acme/web.eth0';
  const told = 'realizeSegment was told to fail';
  assert.equal([made.actors.state(vm), made.actors.state(port)], ['preparing.asking', 'binding.segment']);
  assert.is((made.actors.context(port)['failure'] as { message: string }).message, told);
  const reason = { code: 'realizeSegment_fault', message: `${port} waits: ${told}`, retryable: true };
  assert.equal(made.actors.context(vm)['failure'], reason);
  assert.is(made.message('Ready'), reason.message);
  // A second VM asks for a network that is known to be in trouble.
  await made.ask('vm/acme/two', 'create', { ...spec, disks: [{ volume: 'data' }] });
  assert.match((made.actors.context('vm/acme/two')['failure'] as { message: string } | null)?.message ?? '', told);
  assert.is((await made.ask(vm, 'delete'))?.ok, true);
  assert.equal([made.actors.state(vm), made.ports], [undefined, ['port/acme/two.eth0']]);
  assert.is((await made.ask(vm, 'create', spec))?.ok, true, 'its name is free at once');
  made.network.heal();
  await made.actors.pass(60_000);
  await made.settle();
  assert.equal([made.actors.state(vm), made.actors.context(vm)['failure']], ['running', null]);
  assert.equal([made.actors.state('vm/acme/two'), made.message('Ready')], ['running', '']);
});

test('the declared `running` starts and stops a VM; a change of a stopped VM is realized at once', async () => {
  const made = await site();
  await made.ask(vm, 'update', { ...spec, running: false });
  assert.equal([made.actors.state(vm), made.generations, made.condition('Ready')], ['stopped', [2, 2], 'True']);
  assert.equal(made.reserved, [0, 0, 0]);
  await made.ask(vm, 'update', { ...spec, running: false, nics: [nic('eth1')] });
  assert.equal([made.ports, made.generations], [['port/acme/web.eth1'], [3, 3]]);
  await made.ask(vm, 'update', { ...spec, running: true, nics: [nic('eth1')] });
  assert.equal([made.actors.state(vm), made.generations], ['running', [4, 4]]);
  assert.equal(
    made.runs.at(-1)?.nics.map(({ port }) => port),
    ['port/acme/web.eth1'],
  );
});

test('a declared host may have any name, also one that JavaScript knows', async () => {
  const made = await site();
  const answer = await made.ask('port/acme/c', 'create', { network: 'front', host: 'constructor' });
  assert.equal([answer?.ok, answer?.code], [false, 'host_not_found']);
  await made.ask('vm/acme/two', 'create', { ...spec, host: 'constructor', disks: [{ volume: 'data' }] });
  assert.is(made.actors.state('vm/acme/two'), 'unplaced');
  assert.match((made.actors.context('vm/acme/two')['failure'] as { message: string }).message, 'constructor');
});

test.run();
