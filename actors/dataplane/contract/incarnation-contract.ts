/**
 * The hypervisor half of the dataplane's port: one QEMU process per incarnation.
 * QEMU outlives the worker process; every method finds it again by pidfile, start time and QMP. Effects of
 * `incarnation` call it. Promise: one owner uid and run epoch never has two processes.
 */
import type { IncarnationProof, IncarnationSpec, OwnerToken } from '@photoncloud/machines/values/wiring';
import type { Call } from './call-contract.ts';

/** Enough to find an incarnation again; an IncarnationSpec is one as it stands. */
export interface IncarnationRef {
  readonly owner: OwnerToken;
}

export interface IncarnationStarted extends IncarnationProof {
  /** False when a process of this run was already there and was taken up again. */
  readonly started: boolean;
  /** QEMU's word: `prelaunch` (paused before the first instruction), `running`, `paused`, `shutdown`, ... */
  readonly runStatus: string;
}

export interface IncarnationReading {
  /** `hung`: the process lives and does not answer on QMP. */
  readonly presence: 'absent' | 'alive' | 'hung';
  readonly proof: IncarnationProof | null;
  readonly runStatus: string | null;
  readonly guestMacs: readonly string[];
}

export interface IncarnationEnd {
  /** `host_quit`: QEMU was told to quit; `crash`: guest panic or QEMU abort; `gone`: dead without a word (killed). */
  readonly reason: 'guest_shutdown' | 'host_quit' | 'crash' | 'killed' | 'gone';
  readonly detail: string;
}

export interface IncarnationStop {
  readonly incarnation: IncarnationRef;
  /** Time the guest gets after the power button; 0 pulls the plug. */
  readonly graceMs: number;
}

export interface IncarnationDataplane {
  /**
   * Starts QEMU paused, or takes up the one that already runs for this owner uid and run epoch.
   * A process of a lower run epoch of the same actor is a defeat: stop it first.
   * @throws fault `qemu_failed`, `tap_missing`, `disk_locked`; defeat `qemu_missing`, `qemu_refused`, `disk_missing`,
   *   `image_missing`; unknown `qmp_timeout`
   */
  startIncarnation(spec: IncarnationSpec, call: Call): Promise<IncarnationStarted>;
  /** QMP `cont`; running already is fine. @throws fault `incarnation_missing`; unknown `qmp_timeout` */
  resumeIncarnation(incarnation: IncarnationRef, call: Call): Promise<{ readonly runStatus: string }>;
  /** Resolves when the run is over, also when it was before the call. Rejects with the signal's reason when aborted. */
  watchIncarnation(incarnation: IncarnationRef, call: Call): Promise<IncarnationEnd>;
  /** Power button, then quit, then SIGKILL by pid and start time. Gone already is fine. */
  stopIncarnation(stop: IncarnationStop, call: Call): Promise<{ readonly how: 'absent' | 'guest' | 'quit' | 'killed' }>;
  readIncarnation(incarnation: IncarnationRef, call: Call): Promise<IncarnationReading>;
  /** Removes sockets, pidfile and console of a run that is over. @throws fault `incarnation_alive` */
  cleanIncarnation(incarnation: IncarnationRef, call: Call): Promise<{ readonly removed: boolean }>;
}
