// test limit: 120 s
/** The two clients of docs/clients.md, written from that page alone, get through to a real controller. */
import { execFile } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { TestRedis } from '@photoncloud/runtime/journal/redis-for-tests';
import { wireRules } from '@photoncloud/runtime/control-api/wire-rules';
import { watchFrame } from '@photoncloud/runtime/control-api/api-schema';
import { TestProgram } from './program-for-tests.ts';

const run = promisify(execFile);
const docs = resolve(import.meta.dirname, '../../docs');
const folder = join(docs, 'clients');

test('each example is shorter than 80 lines', () => {
  const lines = (name: string): number => readFileSync(join(folder, name), 'utf8').split('\n').length - 1;
  for (const name of readdirSync(folder)) assert.ok(lines(name) < 80, `${name} has ${lines(name)} lines`);
});

test('the page names every type of watch frame and every close code', () => {
  const page = readFileSync(join(docs, 'clients.md'), 'utf8');
  for (const { shape } of watchFrame.options) assert.match(page, `\`${shape.type.value}\``);
  for (const code of Object.keys(wireRules.closeCodes)) if (code !== '1000') assert.match(page, code);
});

test('both examples watch, try a dry run, send a command and see its change', async () => {
  const redis = await TestRedis.start();
  let program: TestProgram | undefined;
  try {
    program = await TestProgram.start(redis.url, ['c1']);
    const { url, token, caFile } = program.tlsAddress('c1');
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: caFile, PHOTON_CA: caFile };
    const clients = [
      [process.execPath, join(folder, 'watch-and-command.ts'), 'first'],
      ['python3', join(folder, 'watch_and_command.py'), 'second'],
    ] as const;
    for (const [interpreter, path, tenant] of clients) {
      const { stdout } = await run(interpreter, [path, url, token, tenant], { env, timeout: 60_000 });
      const lines = stdout.trim().split('\n');
      assert.match(stdout, new RegExp(`^items tenant/${tenant}/${tenant}$`, 'm'));
      assert.match(stdout, /^dry run .*protect/m);
      assert.match(stdout, new RegExp(`^changed tenant/${tenant}/${tenant}$`, 'm'));
      assert.match(lines.at(-1) ?? '', /^done [tT]rue$/);
    }
  } finally {
    await program?.remove();
    await redis.remove();
  }
});

test.run();
