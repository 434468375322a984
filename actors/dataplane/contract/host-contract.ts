/**
 * The host half of the dataplane's port: what this host is, what of ours is on it, and sweeping what nobody owns.
 * `agent` calls it; tests and the demo share `residue` as their proof that nothing was left.
 */
import type { HostInventory, OwnerToken } from '@photoncloud/machines/values/wiring';
import type { Call } from './call-contract.ts';

export interface HostObservation {
  readonly name: string;
  /** IPv4 on the underlay and the MTU of its interface; overlay MTU is 50 less. */
  readonly underlay: string;
  readonly underlayMtu: number;
  readonly cpus: number;
  readonly memoryMib: number;
  /** Null when there is no usable QEMU. */
  readonly qemuVersion: string | null;
  readonly kvm: boolean;
  readonly allowedRoots: readonly string[];
}

export interface ResidueItem {
  readonly what: 'namespace' | 'interface' | 'process' | 'folder' | 'file';
  /** Kernel name, pid or path below the host's folder. */
  readonly name: string;
  /** Null when it bears no token that can be read. */
  readonly owner: OwnerToken | null;
}

export interface SweepResult {
  readonly removed: readonly ResidueItem[];
  readonly kept: number;
  /** Items that could not be removed, with the reason; the next sweep tries again. */
  readonly failed: readonly { readonly item: ResidueItem; readonly reason: string }[];
}

export interface HostDataplane {
  observeHost(call: Call): Promise<HostObservation>;
  /**
   * Removes what bears our mark and an owner that `owners` does not name (actor ids of every counterpart this host
   * still has). `owners` is asked after the objects were listed: an object is made only once its owner is committed, so
   * an object that was seen and whose owner is not named has none. What is `kept` by name is left alone whoever owns
   * it, but for incarnations whose process has ended.
   */
  sweep(
    known: { readonly owners: () => Promise<readonly string[]>; readonly kept?: readonly string[] },
    call: Call,
  ): Promise<SweepResult>;
  /** Which runs, ports and VNIs are really here. Only reads. */
  readInventory(): Promise<HostInventory>;
  /** Everything of ours that is on the host now. Only reads. */
  residue(): Promise<readonly ResidueItem[]>;
}
