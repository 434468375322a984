import { EventEmitter } from 'node:events';
import type { Redis } from 'ioredis';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CommitConnections } from './commit-connections.ts';
import { processClock as clock, recordedLog, until } from './redis-for-tests.ts';
import { connectStore } from './store-connection.ts';
import type { StoreLink } from './store-link.ts';

/** A stand-in for the client of a primary, which reports its replication id or forbids INFO, and can reconnect. */
class StandInClient extends EventEmitter {
  status = 'ready';
  replicationId: string | undefined;

  constructor(replicationId: string | undefined) {
    super();
    this.enter(replicationId);
  }

  enter(replicationId: string | undefined): void {
    this.replicationId = replicationId;
    setImmediate(() => this.emit('ready'));
  }

  async call(command: string): Promise<unknown> {
    if (command === 'ROLE') return ['master', 0, []];
    if (command !== 'INFO') return [];
    if (this.replicationId === undefined)
      throw new Error('NOPERM this user has no permissions to run the info command');
    return `redis_version:7.0.15\r\nmaster_replid:${this.replicationId}\r\n`;
  }

  async script(): Promise<void> {}

  disconnect(): void {
    this.status = 'end';
  }
}

const isFirst = <Item>(item: Item, at: number, all: readonly Item[]): boolean => all.indexOf(item) === at;

for (const [reported, replicationIds] of [
  ['reported', ['first', 'second', 'third', 'second']],
  ['not reported', [undefined, undefined, undefined, undefined]],
] as const) {
  test(`replicas are tracked per replication id of their primary, when it is ${reported}`, async () => {
    const clients: StandInClient[] = [];
    const connected = await connectStore({
      url: 'redis://stand-in',
      clock,
      log: recordedLog(),
      connect: () => {
        const client = new StandInClient(replicationIds[0]);
        clients.push(client);
        return client as unknown as Redis;
      },
    });
    const links = [connected.shared];
    const open = (purpose: string): StoreLink => {
      const link = connected.open(purpose);
      links.push(link);
      return link;
    };
    const store = { ...connected, open };
    const connections = new CommitConnections({
      store,
      clock,
      replicas: 1,
      waits: true,
      compare: async () => undefined,
      throwIfStopped: () => undefined,
    });
    const allReady = (): Promise<void> =>
      until('every connection is ready', () => links.every(({ isReady }) => isReady));
    for (const replicationId of replicationIds.slice(1)) {
      await allReady();
      for (const client of clients) {
        client.emit('close');
        client.enter(replicationId);
      }
    }
    await allReady();
    assert.is(links.length, 2);
    assert.equal(connections.replicationIds.toSorted(), links.map(({ facts }) => facts.replicationId).filter(isFirst));
    connections.close();
    store.close();
  });
}

test.run();
