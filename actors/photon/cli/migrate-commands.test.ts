// test limit: 120 s
/** `photon vm migrate` and `cancel-migration`: what a person reads while a VM moves, at its end, and when it stays. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { newMigration } from '@photoncloud/machines/migration/migration-context';
import { newVm } from '@photoncloud/machines/vm/vm-context';
import type { Reply } from '@photoncloud/runtime/contract/envelope';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import { CliForTests, pause } from './cli-for-tests.ts';
import { migrateLine } from './describe-actor.ts';
import { endedText, progressText } from './migrate-commands.ts';

const test = suite('photon vm migrate');
const vm = 'vm/acme/web-1';
const migration = 'migration/acme/web-1';
const accepted = async (): Promise<Reply> => ({ ok: true, version: 1, result: { migration } });
let answer = accepted;
const cli = await CliForTests.start({ answer: () => answer() });
test.after(() => cli.stop());

const moved = {
  result: 'moved',
  from: 'w1',
  to: 'w2',
  method: 'live',
  startedAt: 1_000,
  endedAt: 7_200,
  pauseMs: 41,
  gapMs: 83,
  keptFlows: 1,
  sentBytes: 210.5 * 2 ** 20,
  failure: null,
} as const;
const figures = 'live, 210.5 MiB sent, guest paused 41 ms, gap 83 ms, 1 connection kept, took 6.2 s';
const failure = { code: 'migration_stalled', message: 'no less was left; try onStall pause', retryable: true };
const rolledBack = { ...moved, result: 'rolled-back', pauseMs: null, gapMs: null, failure } as const;
const progress = {
  phase: 'copying',
  method: 'live',
  totalBytes: 268 * 2 ** 20,
  remainingBytes: 148 * 2 ** 20,
  sentBytes: 120 * 2 ** 20,
  dirtyRate: 3 * 2 ** 20,
  rate: 77 * 2 ** 20,
} as const;

function put(id: string, state: string, context: object, status: 'live' | 'removed' = 'live'): void {
  const { store } = cli.api;
  const made = id === vm ? newVm(vm) : newMigration(migration);
  store.put(id, state, 1, status);
  const stored = store.actors.get(actorId(id));
  assert.ok(stored);
  store.actors.set(actorId(id), { ...stored, context: { ...made, ...context } });
}

/** The VM moves, as its actors show it. */
async function play(end: object): Promise<void> {
  put(vm, 'migrating', {});
  for (const [state, context] of [
    ['preparing', {}],
    ['sending', { progress }],
    ['switching', { progress }],
  ] as const) {
    put(migration, state, context);
    await pause(150);
  }
  put(vm, 'running', { lastMigration: end });
  await pause(150);
  put(migration, 'moved', {}, 'removed');
}

const playing = (end: object) => async (): Promise<Reply> => {
  void pause(300).then(() => play(end));
  return await accepted();
};

test.before.each(() => {
  answer = accepted;
  cli.api.asked.length = 0;
  put(vm, 'running', { lastMigration: { ...rolledBack, startedAt: 5 } });
  put(migration, 'moved', {}, 'removed');
});

test('it waits until the VM is there and says how that went; --watch says every change', async () => {
  answer = playing(moved);
  const options = ['--to', 'w2', '--watch', '--on-stall', 'pause', '--max-downtime', '50', '--timeout', '60'];
  const { code, stdout, stderr } = await cli.run(['-t', 'acme', 'vm', 'migrate', 'web-1', ...options]);
  assert.equal([code, stderr], [0, '']);
  const lines = stdout.trimEnd().split('\n');
  assert.ok(lines.includes('preparing'), stdout);
  assert.ok(lines.includes('copying    120.0 of 268.0 MiB  dirty 3.0 MiB/s  about 2 s left'), stdout);
  assert.is(lines.at(-1), `${vm} moved w1 -> w2: ${figures}`);
  const asked = cli.api.asked.map(({ event }) => event as unknown as Record<string, unknown>);
  const [{ to, onStall, maxDowntimeMs, deadlineSeconds } = {}] = asked;
  assert.equal([to, onStall, maxDowntimeMs, deadlineSeconds], ['w2', 'pause', 50, 60]);
});

test('a tenant reads the same without hosts, and --no-wait returns once a host is reserved', async () => {
  answer = playing(moved);
  const { code, stdout } = await cli.run(['vm', 'migrate', 'web-1'], { principal: 'ann' });
  assert.equal([code, stdout], [0, `${vm} moved to another host: ${figures}\n`]);
  answer = accepted;
  const unwaited = await cli.run(['vm', 'migrate', 'web-1', '--no-wait'], { principal: 'ann' });
  assert.match(unwaited.stdout, /^vm\/acme\/web-1 migrate accepted .*"migration":"migration\/acme\/web-1"/);
});

test('a VM that stays where it was is a failure with its reason, and so is a refusal', async () => {
  answer = playing(rolledBack);
  const stayed = await cli.run(['-t', 'acme', 'vm', 'migrate', 'web-1']);
  assert.equal(
    [stayed.code, stayed.stderr],
    [1, `photon: ${vm} runs on w1: no less was left; try onStall pause (migration_stalled)\n`],
  );
  const hindered = `${vm} is declared to run on w1; change spec.host to null first`;
  const { record } = new PhotonError('rejection', 'host_declared', hindered, { public: true });
  answer = async () => ({ ok: false, version: 1, error: record });
  const refused = await cli.run(['-t', 'acme', 'vm', 'migrate', 'web-1', '--to', 'w2']);
  assert.equal([refused.code, refused.stderr], [1, `photon: ${hindered} (host_declared)\n`]);
  assert.is((await cli.run(['-t', 'acme', 'vm', 'migrate', 'web-1', '--on-stall', 'wait'])).code, 2);
  answer = accepted;
  const late = await cli.run(['-t', 'acme', 'vm', 'migrate', 'web-1', '--timeout', '1']);
  assert.equal([late.code, late.stderr.split('\n')[0]], [4, `photon: ${vm} still moves after 1 s (wait_timeout)`]);
});

test('a move is ended, unless there is none or the VM has its new host', async () => {
  answer = playing({ ...rolledBack, failure: { ...failure, code: 'migration_cancelled' } });
  const { code, stdout } = await cli.run(['-t', 'acme', 'vm', 'cancel-migration', 'web-1']);
  assert.equal([code, stdout], [0, `${vm} runs on w1; its move was ended\n`]);
  assert.equal(
    cli.api.asked.map(({ to, event }) => `${event.type} ${String(to)}`),
    [`migration.cancel ${migration}`],
  );
  const { record } = new PhotonError('rejection', 'not_found', 'no such actor', { public: true });
  answer = async () => ({ ok: false, version: 0, error: record });
  const none = await cli.run(['-t', 'acme', 'vm', 'cancel-migration', 'web-1']);
  assert.equal([none.code, none.stderr], [3, `photon: ${vm} is not being moved (not_found)\n`]);
});

test('an estimate is only made of what converges, and what was not measured is said', () => {
  const of = (change: object) =>
    progressText({ stateName: 'sending.asking', status: { progress: { ...progress, ...change } } });
  assert.match(of({ dirtyRate: progress.rate }), /no end in sight/);
  assert.not.match(of({ rate: 0 }), /left|sight/);
  const text = endedText({ ...moved, hosts: moved, method: 'stopped', pauseMs: null, gapMs: null });
  assert.match(
    text,
    /its guest stood still for all of it, .* guest paused not measured, gap not measured, 1 connection kept/,
  );
});

test('describe says whether a VM can be moved, with every reason', async () => {
  const reasons = [{ message: 'it is paused; send vm.resume first' }, { message: 'it is declared to run on w1' }];
  assert.is(
    migrateLine({ value: false, reasons, method: 'live' }),
    'can migrate: no: it is paused; send vm.resume first; it is declared to run on w1',
  );
  assert.match(
    migrateLine({ value: true, reasons: [], method: 'stopped' }),
    /^can migrate: yes, its guest stands still/,
  );
  put(vm, 'running', { runningSince: 5, wanted: 'running' });
  const { stdout } = await cli.run(['describe', vm]);
  assert.match(stdout, 'can migrate: yes, while its guest runs\n');
});

test.run();
