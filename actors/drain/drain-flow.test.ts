/**
 * A host is drained, in the in-memory test system with tenant, network, ports, volumes and cluster: its VMs move one at
 * a time, those that cannot say why, and an operator can end it. The test plays QEMU and the bytes of volumes.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { incarnationKind } from '@photoncloud/machines/incarnation/incarnation-protocol';
import type { DrainProgress } from '@photoncloud/machines/drain/drain-protocol';
import { migrationDefinition } from '../migration/migration-actor.ts';
import { hostFacts, vmDefinitions } from '../port/cloud-for-tests.ts';
import { InMemoryActors } from '../port/in-memory-actors-for-tests.ts';
import { MemoryNetwork } from '../port/memory-network-for-tests.ts';
import { drainDefinition } from './drain-actor.ts';

const proof = { pid: 7, startTime: '9', qemuVersion: '10.0.13', machineType: 'pc-q35-10.0' };
const drain = 'drain/system/w1';

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
  readonly actors = new InMemoryActors([...vmDefinitions(this.network), drainDefinition, migrationDefinition]);
  /** Moves are not sent before this is true. */
  sends = true;
  /** Names of VMs that have been sent, and how many were on their way at once. */
  readonly sent: string[] = [];
  mostAtOnce = 0;

  async ask(to: string, name: string, params: object = {}) {
    const id = this.actors.ask(to, name, params as Readonly<Record<string, unknown>>);
    await this.settle();
    const answer = this.actors.answers.get(id);
    assert.equal(answer?.ok, true, `${to} ${name} ${JSON.stringify(answer)}`);
  }

  async settle(): Promise<void> {
    await this.actors.settle();
    const moving = ['a', 'b', 'c'].filter((name) => this.actors.state(`vm/acme/${name}`)?.startsWith('migrating'));
    this.mostAtOnce = Math.max(this.mostAtOnce, moving.length);
    const asked = this.actors.deadLetters.splice(0);
    for (const { to, event } of asked) this.answer(to, event);
    if (asked.length > 0) await this.settle();
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 500) {
      await this.actors.pass(500);
      await this.settle();
    }
  }

  private answer(to: string, event: Event): void {
    const [kind = '', , rest = ''] = to.split('/');
    const [name = '', host = ''] = rest.split('@');
    if (kind === 'incarnation') incarnationKind.takes.find(({ type }) => type === event.type)?.schema.parse(event);
    const [vm, migration] = [`vm/acme/${name}`, `migration/acme/${name}`];
    const tell = (whom: string, type: string, fields: object, from = to): void =>
      this.actors.tell(whom, { type, host, ...fields }, from);
    const run = event['spec'] as Run | undefined;
    const incarnationUid = run?.owner.uid ?? event['incarnationUid'];
    const wire = (): void => {
      for (const { binding } of run?.nics ?? []) this.actors.tell(binding, { type: 'binding.wire', requester: to }, to);
    };
    const runEpoch = this.actors.context(vm)['runEpoch'];
    switch (event.type) {
      case 'replica.ensure':
        return tell(`volume/acme/${name}`, 'replica.ready', {});
      case 'replica.drop':
        return tell(`volume/acme/${name}`, 'replica.removed', {});
      case 'incarnation.start':
        wire();
        return tell(vm, 'incarnation.running', { runEpoch: run?.owner.runEpoch, incarnationUid, proof });
      case 'incarnation.receive': {
        wire();
        const door = { host, address: '192.0.2.2', port: 49_000, mirrorPort: 49_001 };
        return tell(migration, 'incarnation.receiving', { incarnationUid, proof, door });
      }
      case 'incarnation.send': {
        if (!this.sends) return;
        this.sent.push(name);
        tell(migration, 'incarnation.sent', { method: 'live', pausedAt: 1, sentBytes: 5, flows: [], incarnationUid });
        const other = `incarnation/acme/${name}@${host === 'w1' ? 'w2' : 'w1'}`;
        const uid = this.actors.context(migration)['newUid'];
        return tell(migration, 'incarnation.received', { incarnationUid: uid }, other);
      }
      case 'incarnation.go-on':
        tell(migration, 'incarnation.resumed', { incarnationUid, resumedAt: 4, flows: 0 });
        return tell(vm, 'incarnation.running', { runEpoch, incarnationUid, proof });
      case 'incarnation.unsend':
        return tell(migration, 'incarnation.unsent', { incarnationUid, error: null });
      case 'incarnation.stop': {
        const ended = { runEpoch: null, incarnationUid, reason: 'stopped', error: null };
        tell(migration, 'incarnation.ended', ended);
        return tell(vm, 'incarnation.ended', ended);
      }
      default:
    }
  }

  hostOf = (vm: string): unknown => (this.actors.context(vm)['host'] as { name: string } | null)?.name;
  get places(): readonly unknown[] {
    return ['a', 'b', 'c'].map((name) => this.hostOf(`vm/acme/${name}`));
  }
  get progress(): DrainProgress | null {
    return (this.actors.context('host/system/w1')['drain'] as { progress: DrainProgress } | null)?.progress ?? null;
  }

  async announce(host: string, index: number): Promise<void> {
    const facts = {
      ...hostFacts,
      underlay: `192.0.2.${index}`,
      peerUrl: `https://${host}`,
      qemuVersion: '10.0.13',
      allowedRoots: [],
    };
    this.actors.tell(`host/system/${host}`, { type: 'host.announce', host, boot: 'b1', facts });
    await this.settle();
  }
}

/** Three VMs on w1, the only host at first. @param c what is declared of the third */
async function site(c: object = {}): Promise<Site> {
  const made = new Site();
  made.actors.tell('cluster/system/main', { type: 'cluster.open', name: 'test' });
  await made.announce('w1', 1);
  await made.ask('tenant/acme/acme', 'create');
  await made.ask('network/acme/front', 'create', { subnets: [{ cidr: '10.0.0.0/24' }] });
  for (const name of ['a', 'b', 'c']) {
    await made.ask(`volume/acme/${name}`, 'create', { sizeMib: 64 });
    const spec = { nics: [{ name: 'eth0', network: 'front' }], disks: [{ volume: name }] };
    await made.ask(`vm/acme/${name}`, 'create', { ...spec, ...(name === 'c' ? c : {}) });
    await made.settle();
  }
  assert.equal(made.places, ['w1', 'w1', 'w1']);
  await made.announce('w2', 2);
  return made;
}

test('a host ends empty: its VMs move, no more at once than was said, and it takes no new ones', async () => {
  const made = await site();
  await made.ask('host/system/w1', 'drain', { maxParallel: 1 });
  await made.pass(40_000);
  assert.equal([made.places, made.progress?.phase, made.progress?.moved], [['w2', 'w2', 'w2'], 'drained', 3]);
  assert.equal([made.sent.length, made.mostAtOnce, made.actors.state(drain)], [3, 1, undefined]);
  assert.equal(made.actors.context('host/system/w1')['cordoned'], true);
  // It begins again at once when its worker comes back, and is over at once.
  await made.announce('w1', 1);
  assert.is(made.progress?.phase, 'drained');
  await made.ask('host/system/w1', 'uncordon');
  assert.equal([made.progress, made.actors.context('host/system/w1')['cordoned']], [null, false]);
});

test('a VM that is declared for the host stays and says so; once that changes it moves', async () => {
  const made = await site({ host: 'w1' });
  await made.ask('host/system/w1', 'drain', {});
  await made.pass(10_000);
  const stays = made.progress;
  assert.equal([made.places, stays?.phase, stays?.moved], [['w2', 'w2', 'w1'], 'waiting', 2]);
  assert.equal(
    stays?.waiting.map(({ vm, code }) => [vm, code]),
    [['vm/acme/c', 'host_declared']],
  );
  assert.match(stays?.waiting[0]?.message ?? '', /change spec\.host to null/);
  await made.ask('vm/acme/c', 'stop');
  await made.pass(90_000);
  assert.equal([made.progress?.phase, made.progress?.moved], ['drained', 3]);
});

test('a drain that is ended lets the moves arrive and begins no other', async () => {
  const made = await site();
  made.sends = false;
  await made.ask('host/system/w1', 'drain', { maxParallel: 1 });
  await made.pass(2_000);
  assert.equal([made.actors.state(drain), made.progress?.moving], ['moving', ['vm/acme/a']]);
  await made.ask('host/system/w1', 'cancel-drain');
  made.sends = true;
  await made.pass(60_000);
  assert.equal([made.places, made.actors.state(drain), made.progress], [['w2', 'w1', 'w1'], undefined, null]);
  assert.is(made.actors.context('host/system/w1')['cordoned'], true, 'it stays cordoned');
});

test.run();
