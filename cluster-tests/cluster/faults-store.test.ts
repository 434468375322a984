// needs: kernel
// runs: alone
// time limit: 240 s
// test limit: 200 s
/**
 * Failovers of a store of three servers with Sentinels, under load: the primary is killed, cut off, partitioned, and
 * replaced on request; controllers and worker must follow. fault-scene.ts judges the run. PHOTON_FAULT_ROUNDS=n goes
 * through the list of faults n times; the default is once.
 */
import { suite } from 'uvu';
import { FaultScene } from './fault-scene.ts';
import { failoverAsked, primaryCutOff, primaryKilled, primaryParted, type Fault } from './nemesis.ts';
import type { PlannedNode } from './photon-commands.ts';

const test = suite('faults-store');
const nodes: readonly PlannedNode[] = [
  { name: 'c1', role: 'controller' },
  { name: 'c2', role: 'controller' },
  { name: 'w1', role: 'worker' },
];
const boxes = ['b1', 'b2', 'b3'];
const faults: readonly Fault[] = [
  failoverAsked(boxes),
  primaryKilled(boxes),
  primaryCutOff(boxes),
  primaryParted(boxes),
];
const rounds = Number(process.env['PHOTON_FAULT_ROUNDS'] ?? 1);

let scene: FaultScene;
test.before(async () => {
  scene = await FaultScene.open({ stem: 'faultb', nodes, storeBoxes: boxes });
});
test.after(async () => scene?.close());

test('failovers of the store under load: no acknowledged command is lost, none is applied twice', () =>
  scene.judge(faults, rounds));

test.run();
