/**
 * What operators and clients see when the store refuses writes or is the wrong one. A command during the refusal is
 * answered `unknown`, never as a failure; a controller that must not serve a store ends with one line that says what to
 * do. How the journal waits until the store accepts writes again: store-refusals.test.ts.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { TestRedis } from '@photoncloud/runtime/journal/redis-for-tests';
import { createTenant, TestProgram } from './program-for-tests.ts';

const record = 'ph:unit:cluster';

interface Ended {
  readonly code: number;
  readonly stderr: string;
}

/** Runs the controller until it ends. */
const endOf = (program: TestProgram): Promise<Ended> =>
  program.photon('controller', '--dir', program.nodeFolder('c1')).then(
    () => assert.unreachable('the controller did not end by itself') as never,
    (error: Ended) => error,
  );

function assertLastLine({ code, stderr }: Ended, expected: RegExp): void {
  const lines = stderr.trim().split('\n');
  assert.is(code, 1, stderr);
  assert.match(lines.at(-1) ?? '', expected);
  assert.ok(lines.length <= 6, `more than 6 lines:\n${stderr}`);
  assert.not.match(stderr, /\n\s+at |"stack"/);
}

test('a client and an operator get plain answers from a store that is full or belongs to another cluster', async () => {
  const redis = await TestRedis.start();
  let program: TestProgram | undefined;
  try {
    program = await TestProgram.start(redis.url, ['c1']);
    const session = await program.session('c1');
    await createTenant('calm', [session]);

    await redis.ask('CONFIG', 'SET', 'maxmemory', '1');
    const command = { scope: 'full', name: 'full', idempotencyKey: 'k-full', waitMs: 600, params: {} };
    const early = await session.call('tenant.create', command).catch((error: unknown) => error);
    assert.ok(early instanceof PhotonError && early.record.group === 'unknown', String(early));
    assert.match(early.message, /ask again with the same idempotencyKey/);
    assert.is((await session.call('actor.list', { kind: 'tenant' })).actors.length, 1, 'reads go on');
    await redis.ask('CONFIG', 'SET', 'maxmemory', '0');
    await createTenant('late', [session]);
    await session.call('tenant.create', command);
    const { entries } = await session.call('actor.history', { id: 'tenant/full/full' });
    assert.is(entries.filter(({ cause }) => cause.includes('k-full')).length, 1, 'done once');
    await program.kill('c1');

    const bad = [
      ['identity', 'other', /belong to another cluster of the same name; give each .* \(store_of_other_cluster\)$/],
      ['shards', '64', /made with shards 64, .*start the version that fits.* \(store_mismatch\)$/],
      ['scriptVersion', '99', /scripts of version 99, .*start the newer version \(store_scripts_newer\)$/],
    ] as const;
    for (const [field, value, expected] of bad) {
      const before = String(await redis.ask('HGET', record, field));
      await redis.ask('HSET', record, field, value);
      assertLastLine(await endOf(program), expected);
      await redis.ask('HSET', record, field, before);
    }
    await redis.ask('RENAME', record, 'kept');
    await redis.ask('SET', record, 'of another program');
    assertLastLine(await endOf(program), /is not of our type: something else writes there; .* \(store_key_foreign\)$/);
    await redis.ask('RENAME', 'kept', record);

    await program.launch('c1');
    const again = await program.session('c1');
    assert.is((await again.call('actor.list', { kind: 'tenant' })).actors.length, 3, 'nothing is lost');
  } finally {
    await program?.remove();
    await redis.remove();
  }
});

test.run();
