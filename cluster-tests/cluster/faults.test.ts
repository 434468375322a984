// needs: kernel
// runs: alone
// time limit: 240 s
// test limit: 200 s
/**
 * Faults of controllers, the worker, the network and a single store, under load. fault-scene.ts judges the run.
 * PHOTON_FAULT_ROUNDS=n goes through the list of faults n times; the default is once.
 */
import { suite } from 'uvu';
import { FaultScene } from './fault-scene.ts';
import { killed, parted, stopped, storeKilled, type Fault } from './nemesis.ts';
import type { PlannedNode } from './photon-commands.ts';

const test = suite('faults');
const nodes: readonly PlannedNode[] = [
  { name: 's1', role: 'store' },
  { name: 'c1', role: 'controller' },
  { name: 'c2', role: 'controller' },
  { name: 'c3', role: 'controller' },
  { name: 'w1', role: 'worker' },
];
const faults: readonly Fault[] = [
  killed('c2'),
  stopped('c3'),
  parted('c2', ['s1', 'c1', 'c3', 'w1']),
  parted('c1', ['c3']),
  storeKilled('s1'),
  killed('w1'),
  killed('c1'),
  stopped('w1'),
];
const rounds = Number(process.env['PHOTON_FAULT_ROUNDS'] ?? 1);

let scene: FaultScene;
test.before(async () => {
  scene = await FaultScene.open({ stem: 'faults', nodes });
});
test.after(async () => scene?.close());

test('faults of controllers, worker, network and store under load: no command is lost or applied twice', () =>
  scene.judge(faults, rounds));

test.run();
