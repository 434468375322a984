/**
 * A VM that moves, in the in-memory test system with tenant, network, port, volume and cluster: to its new host, back
 * after a cancelled move, and again. The test plays QEMU and the bytes of volumes.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { hostFacts, vmDefinitions } from '../port/cloud-for-tests.ts';
import { InMemoryActors } from '../port/in-memory-actors-for-tests.ts';
import { MemoryNetwork } from '../port/memory-network-for-tests.ts';
import { incarnationKind } from '@photoncloud/machines/incarnation/incarnation-protocol';
import { migrationDefinition } from './migration-actor.ts';

const vm = 'vm/acme/web';
const migration = 'migration/acme/web';
const proof = { pid: 7, startTime: '9', qemuVersion: '10.0.13', machineType: 'pc-q35-10.0' };

interface Event {
  readonly type: string;
  readonly [field: string]: unknown;
}
interface Run {
  readonly owner: { readonly uid: string; readonly runEpoch: number };
  readonly nics: readonly { readonly binding: string }[];
}

class Site {
  readonly network = new MemoryNetwork();
  readonly actors = new InMemoryActors([...vmDefinitions(this.network), migrationDefinition]);
  /** What runs were told, by host, in order. */
  readonly told: string[] = [];
  /** The guest is not sent before this is true. */
  sends = true;

  async ask(to: string, name: string, params: object = {}) {
    const id = this.actors.ask(to, name, params as Readonly<Record<string, unknown>>);
    await this.settle();
    return this.actors.answers.get(id);
  }

  async settle(): Promise<void> {
    await this.actors.settle();
    const asked = this.actors.deadLetters.splice(0);
    for (const { to, event } of asked) this.answer(to, event);
    if (asked.length > 0) await this.settle();
  }

  private answer(to: string, event: Event): void {
    const [kind = '', , rest = ''] = to.split('/');
    const [name = '', host = ''] = rest.split('@');
    const known = incarnationKind.takes.find(({ type }) => type === event.type);
    if (kind === 'incarnation') known?.schema.parse(event);
    if (kind === 'incarnation') this.told.push(`${host} ${event.type.replace('incarnation.', '')}`);
    const tell = (whom: string, type: string, fields: object): void =>
      this.actors.tell(whom, { type, host, ...fields }, to);
    const run = event['spec'] as Run | undefined;
    const incarnationUid = run?.owner.uid ?? event['incarnationUid'];
    const wire = (): void => {
      for (const { binding } of run?.nics ?? []) this.actors.tell(binding, { type: 'binding.wire', requester: to }, to);
    };
    const door = { host, address: '192.0.2.2', port: 49_000, mirrorPort: 49_001 };
    const sent = { method: 'live', pausedAt: 1, sentBytes: 5, flows: [], incarnationUid };
    switch (event.type) {
      case 'replica.ensure':
        return tell(`volume/acme/${name}`, 'replica.ready', {});
      case 'replica.drop':
        return tell(`volume/acme/${name}`, 'replica.removed', {});
      case 'incarnation.start':
        wire();
        return tell(vm, 'incarnation.running', { runEpoch: run?.owner.runEpoch, incarnationUid, proof });
      case 'incarnation.receive':
        wire();
        return tell(migration, 'incarnation.receiving', { incarnationUid, proof, door });
      case 'incarnation.send':
        if (!this.sends) return;
        tell(migration, 'incarnation.sent', sent);
        return this.actors.tell(
          migration,
          { type: 'incarnation.received', incarnationUid: this.newUid },
          `incarnation/acme/web@${host === 'w1' ? 'w2' : 'w1'}`,
        );
      case 'incarnation.go-on':
        tell(migration, 'incarnation.resumed', { incarnationUid, resumedAt: 4, flows: 0 });
        return tell(vm, 'incarnation.running', { runEpoch: this.epoch, incarnationUid, proof });
      case 'incarnation.unsend':
        return tell(migration, 'incarnation.unsent', { incarnationUid, error: null });
      case 'incarnation.stop': {
        const ended = { runEpoch: null, incarnationUid, reason: 'stopped', error: null };
        tell(migration, 'incarnation.ended', ended);
        return tell(vm, 'incarnation.ended', ended);
      }
      default:
        if (kind === 'vm') throw new Error(`${event.type} is sent to ${to}, which does not exist`);
    }
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 500) {
      await this.actors.pass(500);
      await this.settle();
    }
  }

  private get newUid(): unknown {
    return this.actors.context(migration)['newUid'];
  }
  get epoch(): unknown {
    return this.actors.context(vm)['runEpoch'];
  }
  /** State and host of the VM, then of its port and its volume. */
  get places(): readonly unknown[] {
    const host = (id: string): unknown => (this.actors.context(id)['host'] as { name: string } | null)?.name;
    return [this.actors.state(vm), host(vm), host('port/acme/web.eth0'), host('volume/acme/root')];
  }
  get reserved(): readonly unknown[] {
    const { w1, w2 } = this.actors.context('cluster/system/main')['hosts'] as Record<string, Record<string, unknown>>;
    return [w1?.['vms'], w2?.['vms']];
  }
}

async function site(): Promise<Site> {
  const made = new Site();
  made.actors.tell('cluster/system/main', { type: 'cluster.open', name: 'test' });
  for (const [index, host] of ['w1', 'w2'].entries()) {
    const facts = {
      ...hostFacts,
      underlay: `192.0.2.${index + 1}`,
      peerUrl: `https://${host}`,
      qemuVersion: '10.0.13',
      allowedRoots: [],
    };
    made.actors.tell(`host/system/${host}`, { type: 'host.announce', host, boot: 'b1', facts });
    await made.settle();
  }
  for (const [id, params] of [
    ['tenant/acme/acme', {}],
    ['network/acme/front', { subnets: [{ cidr: '10.0.0.0/24' }] }],
    ['volume/acme/root', { sizeMib: 64 }],
    [vm, { nics: [{ name: 'eth0', network: 'front' }], disks: [{ volume: 'root' }] }],
  ] as const) {
    const answer = await made.ask(id, 'create', params);
    assert.equal(answer?.ok, true, `${id} ${JSON.stringify(answer)}`);
  }
  return made;
}

test('a VM moves with its port and its volume, and back', async () => {
  const made = await site();
  assert.equal(
    [made.places, made.reserved],
    [
      ['running', 'w1', 'w1', 'w1'],
      [1, 0],
    ],
  );
  for (const [from, to] of [
    ['w1', 'w2'],
    ['w2', 'w1'],
  ] as const) {
    made.told.splice(0);
    const answer = await made.ask(vm, 'migrate', {});
    assert.equal([answer?.ok, answer?.result], [true, { migration }], JSON.stringify(answer));
    await made.pass(5_000);
    assert.equal(made.places, ['running', to, to, to]);
    assert.is(made.actors.state(migration), undefined, 'nothing is left to clear up');
    assert.equal(made.reserved, to === 'w2' ? [0, 1] : [1, 0]);
    const order = made.told.filter((text) => !text.includes('binding'));
    assert.equal(order, [`${to} receive`, `${from} send`, `${to} go-on`, `${from} stop`]);
    assert.equal([...made.network.taps.keys()].length, 1);
  }
  assert.is(made.epoch, 3);
});

test('a move that is ended in time leaves everything where it was, and the next one succeeds', async () => {
  const made = await site();
  made.sends = false;
  await made.ask(vm, 'migrate', { to: 'w2' });
  assert.equal([made.actors.state(vm), made.actors.state(migration)], ['migrating.moving', 'sending.asking']);
  const second = await made.ask(vm, 'migrate', {});
  assert.is(second?.code, 'migration_active');
  made.told.splice(0);
  assert.is((await made.ask(migration, 'cancel'))?.ok, true);
  await made.pass(5_000);
  assert.equal(made.places, ['running', 'w1', 'w1', 'w1']);
  assert.equal([made.actors.state(migration), made.reserved, made.epoch], [undefined, [1, 0], 1]);
  assert.equal(
    made.told.filter((text) => !text.includes('binding')),
    ['w1 unsend', 'w2 stop'],
  );
  made.sends = true;
  await made.ask(vm, 'migrate', { to: 'w2' });
  await made.pass(5_000);
  assert.equal(made.places, ['running', 'w2', 'w2', 'w2']);
});

test('a VM that is stopped while it moves stops where it was', async () => {
  const made = await site();
  made.sends = false;
  await made.ask(vm, 'migrate', {});
  await made.ask(vm, 'stop', {});
  await made.pass(5_000);
  assert.equal([made.actors.state(vm), made.actors.state(migration), made.reserved], ['stopped', undefined, [0, 0]]);
  assert.is(made.network.taps.size, 0);
});

test.run();
