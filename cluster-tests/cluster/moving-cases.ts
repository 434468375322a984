/**
 * The table of faults during a migration: which fault, at the beginning of which step, on which VM, and how it may end.
 * Before the VM has decided (`committing`) a move may be undone or go on; afterwards it only goes forward. Data only,
 * run by moving-run.ts.
 */
import * as faults from './moving-faults.ts';
import type { MoveFault } from './moving-faults.ts';
import type { SubjectName } from './moving-scene.ts';
import type { Step } from './moving-steps.ts';

export interface MoveCase {
  readonly fault: string;
  readonly subject: SubjectName;
  readonly at: Step;
  readonly inject: MoveFault;
  /** How long the fault lasts, ms; null: until the migration has ended. */
  readonly lastsMs: number | null;
  /** The run may end with it: the guest boots anew. */
  readonly mayReboot: boolean;
  /** The VM is another one afterwards, with another address: the hosts have something else then. */
  readonly isAnother: boolean;
  /** It is ended at `sending`, so that its undoing is met. */
  readonly undone: boolean;
}

export const nameOf = ({ fault, at, subject }: MoveCase): string => `${fault} at ${at} of ${subject}`;

type More = Partial<Pick<MoveCase, 'lastsMs' | 'mayReboot' | 'subject' | 'isAnother'>>;

const forward: readonly Step[] = [
  'reserving',
  'preparing',
  'receiving',
  'sending',
  'committing',
  'switching',
  'stopping',
  'lingering',
  'clearing',
];
const undoing: readonly Step[] = ['undoing', 'ending', 'removing'];

const each = (fault: string, inject: MoveFault, at: readonly Step[], more: More = {}): MoveCase[] =>
  at.map((step) => ({
    fault,
    // Only a shared volume is cut.
    subject: step === 'cutting' ? 'far' : 'near',
    at: step,
    inject,
    lastsMs: 4_000,
    mayReboot: false,
    isAnother: false,
    undone: undoing.includes(step),
    ...more,
  }));

const [whileItDecides, afterwards]: readonly (readonly Step[])[] = [
  ['sending', 'committing', 'cutting', 'switching'],
  ['switching', 'stopping', 'lingering', 'clearing'],
];
const early: readonly Step[] = ['reserving', 'preparing', 'receiving', 'sending'];
const main: readonly Step[] = ['preparing', 'sending', 'committing', 'cutting', 'switching', 'clearing'];

export const moveCases: readonly MoveCase[] = [
  ...each('no fault', async () => async () => {}, ['sending', 'undoing']),
  ...each('kill -9 worker of source', faults.killWorker('from'), [...forward, 'cutting', ...undoing]),
  ...each('kill -9 worker of target', faults.killWorker('to'), [...forward, 'cutting', ...undoing]),
  ...each('kill -9 controller', faults.killController, [...forward, 'cutting', ...undoing]),
  ...each('kill -9 redis', faults.killStore, [...forward, 'cutting', ...undoing], { lastsMs: 500 }),
  // The guest is in this QEMU until everything has arrived in the other one.
  ...each('kill -9 QEMU of source', faults.killQemu('from'), [...early, 'committing'], { mayReboot: true }),
  ...each('kill -9 QEMU of source', faults.killQemu('from'), ['cutting', 'switching', 'stopping']),
  ...each('kill -9 QEMU of target', faults.killQemu('to'), ['receiving', 'sending', 'undoing']),
  ...each('kill -9 QEMU of target', faults.killQemu('to'), ['committing', 'cutting', ...(afterwards ?? [])], {
    mayReboot: true,
  }),
  ...each('kill -9 storage daemon', faults.killExport, ['preparing', 'sending', 'committing', 'cutting', 'switching'], {
    subject: 'far',
  }),
  ...each('SIGSTOP QEMU of source', faults.stopQemu('from'), ['sending', ...(whileItDecides ?? []).slice(1)]),
  ...each('SIGSTOP QEMU of target', faults.stopQemu('to'), ['sending', 'committing', 'switching']),
  ...each('SIGSTOP worker of source', faults.stopWorker('from'), [...main, 'stopping'], { lastsMs: 10_000 }),
  ...each('SIGSTOP worker of target', faults.stopWorker('to'), main, {
    lastsMs: 10_000,
  }),
  ...each('partition source | target', faults.partHosts, ['receiving', ...main, 'undoing']),
  ...each('partition source | target, long', faults.partHosts, ['sending'], {
    lastsMs: 40_000,
  }),
  ...each('partition source | controllers', faults.partFromControllers('from'), [...main, 'stopping', 'undoing']),
  ...each('partition target | controllers', faults.partFromControllers('to'), [...main, 'removing']),
  ...each('link of source down', faults.linkDown('from'), ['sending', 'committing', 'switching']),
  ...each('link of target down', faults.linkDown('to'), ['sending', 'committing', 'switching']),
  ...each('disk of target full', faults.fillDisk, ['reserving', 'preparing', 'sending'], { lastsMs: 8_000 }),
  ...each('cancelled, asked again at once', faults.cancelAndAgain, early),
  ...each('asked twice', faults.askTwice, ['reserving', 'sending', 'stopping', 'lingering']),
  ...each('VM restarted', faults.restartGuest, main, {
    mayReboot: true,
    lastsMs: null,
  }),
  ...each('VM reset', faults.resetGuest, ['sending', 'switching'], {
    mayReboot: true,
    lastsMs: null,
  }),
  ...each('VM paused', faults.pauseGuest, ['sending', 'switching'], {
    lastsMs: 3_000,
  }),
  ...each('VM stopped', faults.stopVm, [...main, 'lingering', 'undoing'], {
    mayReboot: true,
    lastsMs: 0,
  }),
  ...each('VM deleted', faults.deleteVm, [...main, 'lingering', 'undoing'], {
    mayReboot: true,
    lastsMs: 0,
    isAnother: true,
  }),
  ...each('security group changed', faults.changeGroup, main, {
    lastsMs: null,
  }),
  ...each('network gets a port', faults.changeNetwork, ['preparing', 'sending', 'switching'], { lastsMs: null }),
  ...each('worker of source restarted', faults.restartWorker('from'), [...main, 'stopping'], { lastsMs: 0 }),
  ...each('worker of target restarted', faults.restartWorker('to'), main, {
    lastsMs: 0,
  }),
  // The same kills of a VM with a shared volume, whose two runs share one file.
  ...each('kill -9 worker of source', faults.killWorker('from'), ['preparing', 'sending', 'committing', 'switching'], {
    subject: 'far',
  }),
  ...each('kill -9 worker of target', faults.killWorker('to'), ['preparing', 'sending', 'committing', 'switching'], {
    subject: 'far',
  }),
  ...each('partition source | target', faults.partHosts, ['sending', 'switching'], { subject: 'far' }),
];
