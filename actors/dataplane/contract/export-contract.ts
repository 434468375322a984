/**
 * The part of the dataplane's interface that lets VMs of other hosts use a volume whose bytes are here: one export for
 * each run that may use it. Effects of `volume-export` call it.
 */
import type { ExportSpec, OwnerToken, ServedExport } from '@photoncloud/machines/values/wiring';
import type { Call } from './call-contract.ts';

export interface ExportRef {
  readonly owner: OwnerToken;
  readonly volumeUid: string;
}

export interface ExportLoss {
  readonly reason: 'export_ended';
  readonly detail: string;
}

export interface ExportDataplane {
  /**
   * Cuts every run that is not among the clients, and serves those that are. When it resolves, nothing of a run that
   * was cut can reach the bytes any more, and none of a lower epoch ever will.
   * @throws ownership_lost `run_epoch_older`; fault `replica_missing`, `export_failed`, `export_uncut`
   */
  ensureExports(spec: ExportSpec, call: Call): Promise<readonly ServedExport[]>;
  /** Resolves when one of the exports is served no more. */
  watchExports(spec: ExportSpec, call: Call): Promise<ExportLoss>;
  /** Cuts every run. @throws as `ensureExports` */
  removeExports(exports: ExportRef, call: Call): Promise<{ readonly removed: boolean }>;
}
