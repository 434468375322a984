/** The program as its users run it: durations, exit codes, and what a server that answers late or never does to it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Reply } from '@photoncloud/runtime/contract/envelope';
import { CliForTests, pause } from './cli-for-tests.ts';

const test = suite('photon');
let answer = async (): Promise<Reply> => ({ ok: true, version: 1, result: {} });
const cli = await CliForTests.start({ answer: () => answer() });
const { store } = cli.api;
test.after(() => cli.stop());
test.before.each(() => {
  answer = async () => ({ ok: true, version: 1, result: {} });
  cli.api.asked.length = 0;
});
const never = new Promise<never>(() => undefined);
const secondsOf = async (work: Promise<unknown>): Promise<number> => {
  const startMs = performance.now();
  await work;
  return (performance.now() - startMs) / 1_000;
};

test('a wait of more than 2^31 ms waits, and ends when the state is reached', async () => {
  store.put('vm/acme/long', 'running');
  const waiting = cli.run(['wait', 'vm/acme/long', '--for', 'stopped', '--timeout', '2147484']);
  let ended = false;
  void waiting.then(() => (ended = true));
  await pause(3_000);
  assert.not(ended);
  store.put('vm/acme/long', 'stopped');
  assert.equal(await waiting, { code: 0, stdout: 'vm/acme/long stopped\n', stderr: '' });
});

test('a duration or number out of range is a usage error, and nothing is sent', async () => {
  for (const value of ['0', '-5', '1.5', 'soon', '31536001', '1e3', '']) {
    const { code, stderr } = await cli.run(['vm', 'stop', 'vm/acme/web-1', `--timeout=${value}`]);
    assert.is(code, 2, value);
    assert.match(stderr, /--timeout/);
  }
  assert.is((await cli.run(['init', '--dir', 'x', '--cluster', 'y', '--api-port', 'seven'])).code, 2);
  assert.is(cli.api.asked.length, 0);
});

test('--timeout bounds the whole command, whoever does not answer', async () => {
  answer = () => never;
  store.put('vm/acme/slow', 'running');
  const file = cli.file(
    'two.yaml',
    'kind: tenant\nname: acme\n---\nkind: volume\ntenant: acme\nname: v\nspec: { sizeMib: 8 }\n',
  );
  for (const argv of [
    ['-t', 'acme', 'vm', 'stop', 'slow', '--timeout', '2'],
    ['apply', '-f', file, '--timeout', '2'],
    ['wait', 'vm/acme/slow', '--for', 'stopped', '--timeout', '2'],
  ]) {
    const run = cli.run(argv);
    assert.ok((await secondsOf(run)) < 10, argv.join(' '));
    assert.is((await run).code, 4, argv.join(' '));
  }
});

test.run();
