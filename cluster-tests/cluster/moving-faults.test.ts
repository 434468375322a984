// needs: kernel
// time limit: 900 s
// test limit: 300 s
/**
 * Some cases of the table of faults during a migration (moving-cases.ts), drawn by a seed that is printed;
 * `npm run campaign -- moves` runs all of them. At the end the judge itself is judged: a guest that is made to go on
 * where it was, after everything of it was sent, must be seen as a second copy.
 */
import { randomInt } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Chance } from '../simulation/seeded-random.ts';
import { moveCases, nameOf, type MoveCase } from './moving-cases.ts';
import type { MoveFault } from './moving-faults.ts';
import { MoveJudge } from './moving-judge.ts';
import { runCase } from './moving-run.ts';
import { MovingScene } from './moving-scene.ts';

const test = suite('moving faults');
const seed = Number(process.env['PHOTON_MOVES_SEED'] ?? randomInt(2 ** 31));
const drawn = 2;

let scene: MovingScene;
let judge: MoveJudge;

test.before(async () => {
  scene = await MovingScene.open(['near'], (line) => console.log(line));
  judge = await MoveJudge.open(scene);
});

test.after(async () => {
  await scene?.close();
});

function draw(): MoveCase[] {
  const chance = new Chance(`moves ${seed}`);
  const left = moveCases.filter(
    ({ subject, lastsMs, isAnother }) => subject === 'near' && !isAnother && (lastsMs ?? 0) <= 10_000,
  );
  return Array.from({ length: drawn }, () => left.splice(chance.whole(0, left.length - 1), 1)[0] as MoveCase);
}

for (const one of draw())
  test(`${nameOf(one)} (PHOTON_MOVES_SEED=${seed})`, async () => {
    const { verdict, how } = await runCase(scene, judge, one);
    console.log(`${nameOf(one)}: ${verdict}, ${how}`);
    assert.is.not(verdict, 'FAILED', how);
  });

/** The guest goes on in its former QEMU, as nobody may make it. */
const goesOn: MoveFault = async ({ from, subject }) => {
  judge.copies.tell(subject.vm, from, 'cont');
  await pause(1_000);
  return async () => {};
};

test('the judge sees a second copy of a guest', async () => {
  const one: MoveCase = {
    fault: 'the guest goes on in its former QEMU',
    subject: 'near',
    at: 'switching',
    inject: goesOn,
    lastsMs: 0,
    mayReboot: false,
    isAnother: false,
    undone: false,
  };
  const { verdict, how } = await runCase(scene, judge, one);
  assert.is(verdict, 'FAILED');
  assert.match(how, /w1 and w2 ran vm|w2 and w1 ran vm/);
});

test.run();
