/**
 * File systems that are frozen while something is done: a guest that was asked to freeze is asked to thaw, whatever
 * fails, and one that has not said that it has is asked again later. The guests are behind a real unix socket.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { agent, serveGuest, type Behaviour } from './guest-for-tests.ts';
import { thawLeft, whileFrozen } from './guest-freeze.ts';

const test = suite('guest freeze');
const folder = mkdtempSync(join(tmpdir(), 'photon-freeze-'));
test.after(() => rmSync(folder, { recursive: true }));

const [freeze, thaw] = ['guest-fsfreeze-freeze', 'guest-fsfreeze-thaw'] as const;
const short = { beginMs: 400, freezeMs: 400, thawMs: 400 };
const able = agent({ [freeze]: 2, [thaw]: 2 });

let count = 0;
async function withGuest(behave: Behaviour, work: (place: Place, asked: readonly string[]) => Promise<void>) {
  const name = join(folder, String(count++));
  const place = { guestSocket: name, frozenFile: `${name}.frozen` };
  const { asked, close } = await serveGuest(place.guestSocket, behave);
  try {
    await work(place, asked);
  } finally {
    close();
  }
}
type Place = Parameters<typeof thawLeft>[0];

test('the work is done between freeze and thaw, with a mark meanwhile', async () => {
  await withGuest(able, async (place, asked) => {
    const work = async () => [existsSync(place.frozenFile), [...asked]];
    assert.equal(await whileFrozen(place, work), { result: [true, [freeze]], isFrozen: true });
    assert.equal([asked, existsSync(place.frozenFile)], [[freeze, thaw], false]);
  });
});

test('a guest is thawed when the work fails', async () => {
  await withGuest(able, async (place, asked) => {
    const failing = whileFrozen(place, async () => Promise.reject(new Error('no room')));
    assert.is(await failing.catch((error: Error) => error.message), 'no room');
    assert.equal([asked, existsSync(place.frozenFile)], [[freeze, thaw], false]);
  });
});

test('without an agent, or with one that cannot freeze, the work is done all the same', async () => {
  const none = { guestSocket: join(folder, 'none'), frozenFile: join(folder, 'none.frozen') };
  assert.equal(await whileFrozen(none, async () => 7), { result: 7, isFrozen: false });
  assert.not.ok(existsSync(none.frozenFile));
  for (const answers of [{}, { [freeze]: 0, [thaw]: 0 }, { [freeze]: 'many', [thaw]: 1 }])
    await withGuest(agent(answers), async (place, asked) => {
      assert.equal(await whileFrozen(place, async () => 7), { result: 7, isFrozen: false });
      assert.equal([asked, existsSync(place.frozenFile)], [[freeze, thaw], false]);
    });
});

test('a guest that thaws by itself meanwhile was not frozen for all of the work', async () => {
  await withGuest(agent({ [freeze]: 2, [thaw]: 0 }), async (place) => {
    assert.is((await whileFrozen(place, async () => 7)).isFrozen, false);
  });
});

test('a guest that does not say that it has thawed is asked again later, and once it has, no more', async () => {
  let isMute = true;
  const mute: Behaviour = (asked, socket) => (asked.execute === thaw && isMute ? null : able(asked, socket));
  await withGuest(mute, async (place, asked) => {
    assert.equal(await whileFrozen(place, async () => 7, short), { result: 7, isFrozen: false });
    assert.ok(existsSync(place.frozenFile));
    assert.is(await thawLeft(place, short), false);
    assert.ok(existsSync(place.frozenFile));
    isMute = false;
    assert.is(await thawLeft(place), true);
    assert.is(await thawLeft(place), true);
    assert.equal([asked, existsSync(place.frozenFile)], [[freeze, thaw, thaw, thaw], false]);
  });
});

test('a guest that freezes too late is asked to thaw, and its late answer is not taken for that', async () => {
  const late: Behaviour = (asked, socket) => {
    if (asked.execute !== freeze) return able(asked, socket);
    setTimeout(() => void socket.write(able(asked, socket) ?? ''), 550);
    return null;
  };
  await withGuest(late, async (place, asked) => {
    assert.equal(await whileFrozen(place, async () => 7, short), { result: 7, isFrozen: false });
    assert.equal([asked, existsSync(place.frozenFile)], [[freeze, thaw], false]);
  });
});

test.run();
