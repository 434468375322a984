/**
 * The part of the dataplane's interface that moves a run to another host while its guest runs: QEMU on the target
 * listens, QEMU on the source sends memory and the bytes of local volumes, and stops. Neither guest runs then, until
 * one of them is resumed: `resumeIncarnation` on the target, or `unsendIncarnation` on the source. Effects of
 * `incarnation` call it; which of the two it is decides the VM.
 */
import type { TrackedFlow } from '@photoncloud/machines/values/tracked-flows';
import type {
  IncarnationSpec,
  IncomingDoor,
  IncomingSpec,
  MigrationMethod,
  MigrationProgress,
  OutgoingSpec,
} from '@photoncloud/machines/values/wiring';
import type { Call } from './call-contract.ts';
import type { IncarnationRef, IncarnationStarted } from './incarnation-contract.ts';

export type IncomingRun = IncarnationSpec & { readonly incoming: IncomingSpec };

export interface IncarnationSent {
  readonly method: MigrationMethod;
  /** Wall time at which the guest was stopped, ms since the epoch; null when it was not noticed. */
  readonly pausedAt: number | null;
  readonly sentBytes: number;
  /** Connections of the guest that its new host is to know. */
  readonly flows: readonly TrackedFlow[];
}

export interface MigrationDataplane {
  /**
   * Starts QEMU for a run that is moved here, or adopts it; it listens for the source, which must prove that it has the
   * key of the migration. @throws as `startIncarnation`; defeat `migration_key_missing`; fault `qmp_refused`
   */
  receiveIncarnation(spec: IncomingRun, call: Call): Promise<IncarnationStarted & IncomingDoor>;
  /** Resolves when everything has arrived and the guest can be resumed. @throws fault `migration_failed` */
  awaitIncoming(incarnation: IncarnationRef, call: Call): Promise<void>;
  /**
   * Sends the run, and resolves when all of it has arrived; its guest is stopped by then. Goes on with what an earlier
   * call has begun. @throws fault `incarnation_missing`, `migration_failed`; defeat `migration_key_missing`
   */
  sendIncarnation(
    ask: { readonly spec: IncarnationSpec; readonly outgoing: OutgoingSpec },
    call: Call,
  ): Promise<IncarnationSent>;
  /** How far the sending is; null when nothing is being sent. @throws unknown `qmp_timeout` */
  readOutgoing(incarnation: IncarnationRef, call: Call): Promise<MigrationProgress | null>;
  /** Stops the guest for the rest of the sending, which then ends. No error when it is stopped already. */
  holdIncarnation(incarnation: IncarnationRef, call: Call): Promise<void>;
  /**
   * The connection tracking of this host knows these connections of the run, whose addresses are still elsewhere. Asked
   * before the guest goes on here. @returns how many of them are the run's
   */
  placeFlows(run: IncarnationSpec, flows: readonly TrackedFlow[], call: Call): Promise<number>;
  /**
   * Asked afterwards: those take their place that an ended connection had here, and those are ended that the security
   * groups do not admit any more.
   */
  reviewFlows(run: IncarnationSpec, flows: readonly TrackedFlow[], call: Call): Promise<void>;
  /** Ends the sending, however far it is, and lets the guest go on here. No error when nothing was sent. */
  unsendIncarnation(incarnation: IncarnationRef, call: Call): Promise<void>;
}
