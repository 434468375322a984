/**
 * The hypervisor half of the dataplane's port: one QEMU process per incarnation.
 * QEMU outlives the worker process; every method finds it again by pidfile, start time and QMP. Effects of
 * `incarnation` call it. Promise: one owner uid and run epoch never has two processes.
 */
import type { MachineProof, MachineSpec, OwnerToken } from '@photoncloud/machines/values/wiring';
import type { Call } from './call-contract.ts';

/** Enough to find a machine again; a MachineSpec is one as it stands. */
export interface MachineRef {
  readonly owner: OwnerToken;
}

export interface MachineStarted extends MachineProof {
  /** False when a process of this run was already there and was taken up again. */
  readonly started: boolean;
  /** QEMU's word: `prelaunch` (paused before the first instruction), `running`, `paused`, `shutdown`, ... */
  readonly runStatus: string;
}

export interface MachineReading {
  /** `hung`: the process lives and does not answer on QMP. */
  readonly presence: 'absent' | 'alive' | 'hung';
  readonly proof: MachineProof | null;
  readonly runStatus: string | null;
  readonly guestMacs: readonly string[];
}

export interface MachineEnd {
  /** `host_quit`: QEMU was told to quit; `crash`: guest panic or QEMU abort; `gone`: dead without a word (killed). */
  readonly reason: 'guest_shutdown' | 'host_quit' | 'crash' | 'killed' | 'gone';
  readonly detail: string;
}

export interface MachineStop {
  readonly machine: MachineRef;
  /** Time the guest gets after the power button; 0 pulls the plug. */
  readonly graceMs: number;
}

export interface MachineDataplane {
  /**
   * Starts QEMU paused, or takes up the one that already runs for this owner uid and run epoch.
   * A process of a lower run epoch of the same actor is a defeat: stop it first.
   * @throws fault `qemu_failed`, `tap_missing`, `disk_locked`; defeat `qemu_missing`, `qemu_refused`, `disk_missing`,
   *   `image_missing`; unknown `qmp_timeout`
   */
  startMachine(spec: MachineSpec, call: Call): Promise<MachineStarted>;
  /** QMP `cont`; running already is fine. @throws fault `machine_missing`; unknown `qmp_timeout` */
  resumeMachine(machine: MachineRef, call: Call): Promise<{ readonly runStatus: string }>;
  /** Resolves when the run is over, also when it was before the call. Rejects with the signal's reason when aborted. */
  watchMachine(machine: MachineRef, call: Call): Promise<MachineEnd>;
  /** Power button, then quit, then SIGKILL by pid and start time. Gone already is fine. */
  stopMachine(stop: MachineStop, call: Call): Promise<{ readonly how: 'absent' | 'guest' | 'quit' | 'killed' }>;
  readMachine(machine: MachineRef, call: Call): Promise<MachineReading>;
  /** Removes sockets, pidfile and console of a run that is over. @throws fault `machine_alive` */
  cleanMachine(machine: MachineRef, call: Call): Promise<{ readonly removed: boolean }>;
}
