/** What a connection tells its operator while it does not come about. */
import { EventEmitter } from 'node:events';
import type { Redis } from 'ioredis';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { processClock as clock, recordedLog } from './redis-for-tests.ts';
import { StoreLink } from './store-link.ts';

test('two troubles that take turns are told once each, not at every try', () => {
  const log = recordedLog();
  const client = Object.assign(new EventEmitter(), { status: 'connecting', disconnect: () => undefined });
  const connect = (): Redis => client as unknown as Redis;
  const address = { kind: 'single', url: 'redis://127.0.0.1' } as const;
  const link = new StoreLink({ address, purpose: 'commits', isNode: false, clock, log, connect });
  for (let tries = 0; tries < 20; tries += 1) {
    client.emit('error', new Error('connect ECONNREFUSED 127.0.0.1:6379'));
    client.emit('error', new Error('All sentinels are unreachable. Retrying from scratch after 100ms.'));
  }
  link.close();
  assert.is(log.lines.length, 2, log.lines.join('\n'));
});

test.run();
