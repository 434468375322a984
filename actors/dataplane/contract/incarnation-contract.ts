/**
 * The hypervisor part of the dataplane's interface: one QEMU process per incarnation.
 * QEMU outlives the worker process; every method finds it again by pidfile, start time and QMP. Effects of
 * `incarnation` call it. Promise: an owner uid and run epoch never has two QEMU processes.
 */
import type { DiskStanding, NicStanding } from '@photoncloud/machines/values/device-slots';
import type { Failure } from '@photoncloud/machines/values/failures';
import type {
  IncarnationDisk,
  IncarnationNic,
  IncarnationProof,
  IncarnationSpec,
  OwnerToken,
} from '@photoncloud/machines/values/wiring';
import type { Duplex } from 'node:stream';
import type { Call } from './call-contract.ts';

/** The part of an IncarnationSpec that identifies an incarnation; a whole spec can be passed. */
export interface IncarnationRef {
  readonly owner: OwnerToken;
}

export interface IncarnationStarted extends IncarnationProof {
  /** False when a QEMU process of this run already existed and was adopted. */
  readonly started: boolean;
  /** QEMU's run state: `prelaunch` (paused before the first instruction), `running`, `paused`, `shutdown`, ... */
  readonly runStatus: string;
}

export interface IncarnationReading {
  /** `hung`: the QEMU process exists and does not answer on QMP. */
  readonly presence: 'absent' | 'alive' | 'hung';
  readonly proof: IncarnationProof | null;
  readonly runStatus: string | null;
  readonly guestMacs: readonly string[];
}

export interface IncarnationEnd {
  /** `host_quit`: QEMU got `quit`; `crash`: guest panic or QEMU abort; `gone`: the process ended without a reason. */
  readonly reason: 'guest_shutdown' | 'host_quit' | 'crash' | 'killed' | 'gone';
  readonly detail: string;
}

export interface IncarnationStop {
  readonly incarnation: IncarnationRef;
  /** Time the guest gets after the power button; 0 ends QEMU without asking the guest. */
  readonly graceMs: number;
}

/** A shared volume that has grown, and its run. */
export interface DiskResize {
  readonly incarnation: IncarnationSpec;
  readonly volumeUid: string;
  readonly sizeMib: number;
}

export interface GuestInterface {
  readonly name: string;
  readonly mac: string | null;
  /** `10.0.0.2/24` */
  readonly addresses: readonly string[];
}

/** What a guest says of itself, cut to a few short values of printable characters. It may lie. */
export interface GuestReading {
  /** False: nothing that can be understood came in time, or there is no such run; nothing else is known then. */
  readonly answers: boolean;
  readonly system: string | null;
  readonly kernel: string | null;
  readonly hostName: string | null;
  /** Without the loopback interface; at most 16, with at most 16 addresses each. Null: not said. */
  readonly interfaces: readonly GuestInterface[] | null;
}

/** Below it, a worker serves what the guests of its VMs say of themselves: `/guests/<tenant>/<vm>`. */
export const guestPath = '/guests/';

/** All disks and NICs that a run is to have, each in its slot. */
export interface DevicePlug {
  readonly incarnation: IncarnationSpec;
  readonly disks: readonly IncarnationDisk[];
  /** Absent: its NICs stay what they are. */
  readonly nics?: readonly IncarnationNic[] | undefined;
  /** Bindings whose taps are wired: the guest may have these NICs. */
  readonly wired?: readonly string[] | undefined;
}

export interface DeviceStandings {
  readonly disks: readonly DiskStanding[];
  readonly nics: readonly NicStanding[];
}

/** Below it, a worker serves the consoles of its VMs, to read and as streams: `/consoles/<tenant>/<vm>`. */
export const consolePath = '/consoles/';

export interface IncarnationDataplane {
  /**
   * Starts QEMU paused, or adopts the QEMU process that already runs for this owner uid and run epoch.
   * While a process of another run of the same actor exists, nothing is started (`older_run_alive`): stop it first.
   * @throws fault `qemu_failed`, `tap_missing`, `disk_locked`; defeat `qemu_missing`, `qemu_refused`, `disk_missing`,
   *   `image_missing`; unknown `qmp_timeout`
   */
  startIncarnation(spec: IncarnationSpec, call: Call): Promise<IncarnationStarted>;
  /**
   * QMP `cont`; no error when it runs already. `resumedAt`: wall time, ms since the epoch; null when it ran already.
   * @throws fault `incarnation_missing`, `run_is_sent`; unknown `qmp_timeout`
   */
  resumeIncarnation(
    incarnation: IncarnationRef,
    call: Call,
  ): Promise<{ readonly runStatus: string; readonly resumedAt: number | null }>;
  /**
   * QMP `stop`; no error when it stands still already. A guest that waits for a disk keeps that reason as its run
   * status. @throws fault `incarnation_missing`; unknown `qmp_timeout`
   */
  pauseIncarnation(incarnation: IncarnationRef, call: Call): Promise<{ readonly runStatus: string }>;
  /** The reset button: the guest boots anew, or, paused, once it is resumed. @throws as `resumeIncarnation` */
  resetIncarnation(incarnation: IncarnationRef, call: Call): Promise<{ readonly runStatus: string }>;
  /**
   * Resolves when the run has ended, also if it ended before the call. Rejects with the signal's reason when aborted.
   */
  watchIncarnation(incarnation: IncarnationRef, call: Call): Promise<IncarnationEnd>;
  /**
   * Resolves when QEMU has stopped the guest because a disk did not take a request: `disk_full`, `disk_error`. Rejects
   * only with the signal's reason.
   */
  watchDisks(incarnation: IncarnationSpec, call: Call): Promise<Failure>;
  /**
   * Resolves when the guest runs: it is resumed once the host has space again, or, after another error, is tried from
   * time to time. QEMU then repeats the request that failed. Rejects only with the signal's reason, or with
   * ownership_lost.
   */
  awaitDisks(incarnation: IncarnationSpec, call: Call): Promise<void>;
  /**
   * The guest sees the size of a shared volume that is served with it; no error when it does already.
   * @throws fault `incarnation_missing`, `run_is_sent`, `size_unseen`; defeat `disk_absent`; unknown `qmp_timeout`
   */
  resizeDisk(resize: DiskResize, call: Call): Promise<void>;
  /**
   * Plugs the disks and NICs that the run does not have, and asks the guest to release those that it has beside them.
   * Says of each what came of it, and is to be asked again for what is not done: one that the guest does not release
   * stays with it, and so does one that is wanted back, which then leaves first. Of a NIC whose tap is not wired, QEMU
   * has the tap, and its guest nothing. No error when everything is so already.
   * @throws fault `incarnation_missing`, `run_is_sent`; defeat `plug_unsupported`; unknown `qmp_timeout`
   */
  plugDevices(plug: DevicePlug, call: Call): Promise<DeviceStandings>;
  /** Power button, then `quit`, then SIGKILL by pid and start time. No error when the process has already ended. */
  stopIncarnation(stop: IncarnationStop, call: Call): Promise<{ readonly how: 'absent' | 'guest' | 'quit' | 'killed' }>;
  readIncarnation(incarnation: IncarnationRef, call: Call): Promise<IncarnationReading>;
  /**
   * The last 256 KiB that the latest run printed on its serial console, also for a day after its end; empty when this
   * host has none. @param incarnation actor id
   */
  readConsole(incarnation: string): Promise<Buffer>;
  /**
   * The serial console of the latest run, for one client: the last 16 KiB, then what the guest prints, no faster than
   * 8 KiB each 30 ms; what is written is the guest's input. It ends with the run. @param incarnation actor id
   * @throws rejection `console_busy`, `console_absent`
   */
  openConsole(incarnation: string): Promise<Duplex>;
  /**
   * What the QEMU guest agent of the latest run says, within 2 s. A guest that says nothing, or anything else, is one
   * that does not answer, and no error. @param incarnation actor id
   */
  readGuest(incarnation: string): Promise<GuestReading>;
  /**
   * Removes sockets and pidfile of a run that has ended; its console is kept for a day (docs/limits.md).
   * @throws fault `incarnation_alive`
   */
  cleanIncarnation(incarnation: IncarnationRef, call: Call): Promise<{ readonly removed: boolean }>;
}
