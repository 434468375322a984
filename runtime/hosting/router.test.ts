import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { recordedLog } from '../journal/redis-for-tests.ts';
import { Router, type RouterPorts } from './router.ts';

const about = (lines: readonly string[], text: string): number => lines.filter((line) => line.includes(text)).length;

test('a map of owners that cannot be read is told once, and that it can be again', async () => {
  const log = recordedLog();
  let failure: string | undefined = 'the link is closed';
  const directory = {
    ownerOf: () => undefined,
    refresh: () => (failure === undefined ? Promise.resolve() : Promise.reject(new Error(failure))),
  };
  const router = new Router({ directory, log } as Partial<RouterPorts> as RouterPorts);
  const refresh = async (): Promise<void> => {
    router.refresh();
    await new Promise((resolve) => setImmediate(resolve));
  };
  for (let turn = 0; turn < 5; turn += 1) await refresh();
  assert.is(about(log.lines, 'could not be read'), 1);
  failure = 'something else';
  for (let turn = 0; turn < 5; turn += 1) await refresh();
  assert.is(about(log.lines, 'could not be read'), 2);
  failure = undefined;
  for (let turn = 0; turn < 5; turn += 1) await refresh();
  assert.is(about(log.lines, 'is read again'), 1);
  failure = 'something else';
  await refresh();
  assert.is(about(log.lines, 'could not be read'), 3);
});

test.run();
