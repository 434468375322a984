// test limit: 120 s
/** `photon host drain`: what an operator reads while a host is drained, at its end, and of VMs that stay. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { DrainProgress } from '@photoncloud/machines/drain/drain-protocol';
import type { Reply } from '@photoncloud/runtime/contract/envelope';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import { CliForTests, pause } from './cli-for-tests.ts';
import { drainText, stayingText } from './drain-commands.ts';

const test = suite('photon host drain');
const id = 'host/system/w1';
const accepted = async (): Promise<Reply> => ({ ok: true, version: 1, result: {} });
let answer = accepted;
const cli = await CliForTests.start({ answer: () => answer() });
test.after(() => cli.stop());

const progress: DrainProgress = {
  phase: 'moving',
  since: 1,
  moved: 1,
  moving: ['vm/acme/a'],
  pending: 3,
  waiting: [],
  waitingCount: 0,
};
const waiting = [{ vm: 'vm/acme/b', code: 'guest_paused', message: 'vm/acme/b is paused; send vm.resume first' }];

function put(drain: { readonly progress: DrainProgress | null } | null): void {
  const { store } = cli.api;
  store.put(id, 'present.ready', 1, 'live');
  const stored = store.actors.get(actorId(id));
  assert.ok(stored);
  const context = { name: 'w1', cordoned: true, drain, followers: [], failure: null, report: null };
  store.actors.set(actorId(id), { ...stored, context: { ...context } });
}

test.before.each(() => put(null));

test('progress in one line, and a line for each VM that stays', () => {
  assert.is(drainText(progress), '1 VM moved, 1 on its way, 3 to go');
  assert.is(
    drainText({ ...progress, moved: 2, moving: [], pending: 0, waiting, waitingCount: 1 }),
    '2 VMs moved, 1 stays',
  );
  assert.equal(stayingText({ ...progress, waiting, waitingCount: 3 }), [
    '  vm/acme/b stays: vm/acme/b is paused; send vm.resume first (guest_paused)',
    '  and 2 more, which photon describe shows of its drain',
  ]);
});

/** The host goes through these once it was told to drain. */
const draining = async (...progresses: readonly DrainProgress[]) => {
  const play = async (): Promise<void> => {
    for (const one of progresses) {
      await pause(300);
      put({ progress: one });
    }
  };
  answer = async () => {
    put({ progress: null });
    void play();
    return await accepted();
  };
  return await cli.run(['host', 'drain', 'w1', '--watch', '--timeout', '60']);
};

test('it ends when no VM is left', async () => {
  const drained = { ...progress, phase: 'drained', moved: 5, moving: [], pending: 0 } as const;
  const { code, stdout } = await draining(progress, drained);
  assert.is(code, 0);
  assert.match(
    stdout,
    /1 VM moved, 1 on its way, 3 to go\n5 VMs moved\nhost\/system\/w1 is drained: no VM is left on it\n/,
  );
});

test('it names the VMs that stay, with what can be done', async () => {
  const stays = { ...progress, phase: 'waiting', moving: [], pending: 0, waiting, waitingCount: 1 } as const;
  const { code, stdout, stderr } = await draining(stays);
  assert.is(code, 1);
  assert.match(stdout, /vm\/acme\/b stays: vm\/acme\/b is paused; send vm.resume first \(guest_paused\)/);
  assert.match(stderr, /1 VM of host\/system\/w1 cannot move; the drain goes on/);
});

test.run();
