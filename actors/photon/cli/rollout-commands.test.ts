// test limit: 120 s
/** `photon rollout`: what an operator reads of the hosts, which systems are meant, and the exit codes of its end. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import { CliForTests } from './cli-for-tests.ts';
import { changedLines, headline, systemsOf, type Shown } from './rollout-commands.ts';

const test = suite('photon rollout');
const id = 'rollout/system/november';
const system = `/nix/store/${'a'.repeat(32)}-nixos-system-w1`;
const cli = await CliForTests.start();
test.after(() => cli.stop());

const line = (host: string, phase: string, why = '') => ({ host, system, phase, why, since: 1, standing: 'present' });
const shown = (stateName: string, ...hosts: readonly object[]): Shown => ({ id, stateName, status: { hosts } });

test('a line for each host that has moved, and one for all', () => {
  const before = new Map<string, string>();
  const first = shown('canary.following', line('w1', 'verified'), line('work-2', 'waiting'));
  assert.equal(changedLines(first, before), ['w1      verified']);
  const next = shown('canary.following', line('w1', 'rollingBack', 'a health check'), line('work-2', 'waiting'));
  assert.equal(changedLines(next, before), ['w1      rolling back  a health check']);
  assert.equal(changedLines(next, before), []);
  assert.is(headline(next), 'canary: 0 of 2 hosts run their new systems');
});

test('a path alone is for the hosts that are not named', () => {
  const other = system.replace('w1', 'w2');
  assert.equal(systemsOf([`w1=${system}`, other], ['w1', 'w2']), [
    { host: 'w1', system },
    { host: 'w2', system: other },
  ]);
  assert.throws(() => systemsOf(['w1'], []), /w1 is no HOST=PATH/);
  assert.throws(() => systemsOf([system, other], ['w1']), /two systems are given for all hosts/);
});

function put(state: string, phase: string, failure: object | null): void {
  const { store } = cli.api;
  store.put(id, state, 1, 'live');
  const stored = store.actors.get(actorId(id));
  assert.ok(stored);
  const hosts = [
    { ...line('w1', phase, 'no signature'), told: 'receive', orderedAt: 1, absentSince: 0, untried: false },
  ];
  const spec = { systems: [{ host: 'w1', system }], maxParallel: 1 };
  store.actors.set(actorId(id), {
    ...stored,
    context: { spec, hosts, conditions: [], failure, startedAt: 1 } as never,
  });
}

test('a rollout that has failed is shown host by host, and ends with 1', async () => {
  const message = 'w1 has refused its system: no signature; mend what w1 says, then start another rollout';
  put('failed', 'refused', { code: 'host_failed', message, retryable: false });
  const table = await cli.run(['rollout', 'status', 'november']);
  assert.is(table.code, 1, table.stderr);
  assert.match(table.stdout, /^rollout\/system\/november failed: 0 of 1 hosts run their new systems$/m);
  assert.match(table.stdout, /^w1 +refused +\S+-nixos-system-w1 +no signature$/m);
  assert.match(table.stdout, /mend what w1 says/);
  const watched = await cli.run(['rollout', 'status', 'november', '--watch']);
  assert.is(watched.code, 1);
  assert.match(watched.stderr, /has failed: w1 has refused its system.*\(not_rolled_out\)/);
});

test('one that is complete ends with 0, also for programs', async () => {
  put('completed', 'confirmed', null);
  const { code, stdout } = await cli.run(['rollout', 'status', 'november', '-o', 'json']);
  assert.is(code, 0);
  const { state, hosts } = JSON.parse(stdout) as { state: string; hosts: { phase: string }[] };
  assert.equal([state, ...hosts.map(({ phase }) => phase)], ['completed', 'confirmed']);
});

test.run();
