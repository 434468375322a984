/**
 * Which bindings an agent finds, in stored records; and the flow of messages after it, in the in-memory test system:
 * from a port that is lost to a host without its tap.
 */
import { bindingConfirm, type FoundBinding } from '@photoncloud/machines/binding/binding-protocol';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { withNetwork } from '../port/cloud-for-tests.ts';
import type { InMemoryActors } from '../port/in-memory-actors-for-tests.ts';
import { StrayBindings } from './stray-bindings.ts';

/** The store as the worker of w1 reads it: each record changes with each step of its actor. */
class Records {
  nowMs = 0;
  readonly read: string[] = [];
  readonly spoilt = new Set<string>();
  private readonly actors: InMemoryActors;
  constructor(actors: InMemoryActors) {
    this.actors = actors;
  }

  strays(): StrayBindings {
    const { hosts } = this.actors;
    const textOf = (id: string) => {
      const snapshot = hosts.get(id)?.snapshot;
      return snapshot === undefined ? undefined : JSON.stringify([snapshot.value, snapshot.context]);
    };
    const reader = {
      idsOnHost: (host: string) => Promise.resolve([...hosts.keys()].filter((id) => id.endsWith(`@${host}`))),
      stampsOf: (ids: readonly string[]) => Promise.resolve(ids.map(textOf)),
      get: (id: string) => {
        this.read.push(id);
        if (this.spoilt.has(id)) return Promise.reject(new PhotonError('bug', 'record_unreadable', id));
        const [state, context] = JSON.parse(textOf(id) ?? '[]') as unknown[];
        return Promise.resolve(context === undefined ? undefined : ({ status: 'live', state, context } as StoredActor));
      },
    };
    return new StrayBindings('w1', reader as never, () => this.nowMs);
  }
}

async function withPorts() {
  const { actors, network } = await withNetwork();
  for (const name of ['one', 'two']) actors.ask(`port/acme/${name}`, 'create', { network: 'front', host: 'w1' });
  actors.ask('port/acme/away', 'create', { network: 'front', host: 'w2' });
  await actors.settle();
  const records = new Records(actors);
  return { actors, network, records, strays: records.strays() };
}

/** As the agent of w1 does it. */
const ask = (actors: InMemoryActors, all: readonly FoundBinding[]): void => {
  for (const found of all) actors.tell(found.port, { ...bindingConfirm({ host: 'w1', hostIndex: 1, found }) });
};

test('a binding of a lost port is found and removed, with its routes and its address; others stay', async () => {
  const { actors, network, strays } = await withPorts();
  assert.equal(await strays.find(), []);
  assert.equal(
    network.routesOf('vpc/acme/main@w2').map(([address]) => address),
    ['10.0.0.5', '10.0.0.6'],
  );
  actors.hosts.delete('port/acme/one');
  const found = await strays.find();
  assert.equal(
    found.map(({ port, address }) => [port, address]),
    [['port/acme/one', '10.0.0.5']],
  );
  ask(actors, found);
  await actors.settle();
  assert.equal([...network.taps.keys()].toSorted(), ['binding/acme/away@w2', 'binding/acme/two@w1']);
  assert.equal(
    network.routesOf('vpc/acme/main@w2').map(([address]) => address),
    ['10.0.0.6'],
  );
  assert.is(actors.state('port/acme/one'), undefined);
  const held = [...actors.rowsOf('network/acme/front').keys()].filter((key) => key.startsWith('port/'));
  assert.equal(held.toSorted(), ['port/port/acme/away', 'port/port/acme/two']);
  assert.equal(await strays.find(), []);
});

test('a port that was declared again on another host gives up the binding that it does not have', async () => {
  const { actors, network, strays } = await withPorts();
  actors.hosts.delete('port/acme/one');
  actors.ask('port/acme/one', 'create', { network: 'front', host: 'w2' });
  await actors.settle();
  const found = await strays.find();
  assert.equal(
    found.map(({ port }) => port),
    ['port/acme/one'],
  );
  ask(actors, found);
  await actors.settle();
  assert.is(actors.state('port/acme/one'), 'active');
  const taps = ['binding/acme/away@w2', 'binding/acme/one@w2', 'binding/acme/two@w1'];
  assert.equal([...network.taps.keys()].toSorted(), taps);
});

test('records are read when one of them has changed; a port that does not answer is asked once a minute', async () => {
  const { actors, records, strays } = await withPorts();
  await strays.find();
  assert.is(records.read.length, 4);
  await strays.find();
  assert.is(records.read.length, 4, 'nothing has changed');
  actors.hosts.delete('port/acme/one');
  assert.is((await strays.find()).length, 1);
  assert.is(records.read.length, 6, 'the pair that has changed');
  assert.equal(await strays.find(), []);
  records.nowMs = 60_000;
  assert.is((await strays.find()).length, 1);
});

test('a binding whose record or port cannot be read stays, and hides no other', async () => {
  const { actors, records, strays } = await withPorts();
  records.spoilt.add('port/acme/two');
  actors.hosts.delete('port/acme/one');
  assert.equal(
    (await strays.find()).map(({ port }) => port),
    ['port/acme/one'],
  );
});

test('a binding that is being removed already is not found', async () => {
  const { actors, network, strays } = await withPorts();
  let finish = (_: { removed: boolean }): void => {};
  network.removeTap = () => new Promise((resolve) => (finish = resolve));
  actors.ask('port/acme/one', 'delete');
  await actors.settle();
  assert.is(actors.state('binding/acme/one@w1'), 'removing.taking');
  actors.hosts.delete('port/acme/one');
  assert.equal(await strays.find(), []);
  finish({ removed: true });
  await actors.settle();
});

test.run();
