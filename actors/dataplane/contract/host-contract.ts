/**
 * The host part of the dataplane's interface: observing the host, listing our objects on it, and removing objects
 * without an owner. `agent` calls it; tests and the demo use `residue` to prove that nothing was left.
 */
import type { HostInventory } from '@photoncloud/machines/values/inventory-schema';
import type { OwnerToken } from '@photoncloud/machines/values/wiring';
import type { Call } from './call-contract.ts';

export interface HostObservation {
  readonly name: string;
  /** IPv4 on the underlay and the MTU of its interface; overlay MTU is 50 less. */
  readonly underlay: string;
  readonly underlayMtu: number;
  readonly cpus: number;
  readonly memoryMib: number;
  /** Of the file system that holds the host's folder. */
  readonly diskMib: number;
  readonly diskFreeMib: number;
  /** Null when VMs cannot run here, or are not to. */
  readonly qemuVersion: string | null;
  readonly kvm: boolean;
  readonly allowedRoots: readonly string[];
  /** Takes shared volumes. */
  readonly storage: boolean;
}

export interface ResidueItem {
  readonly what: 'namespace' | 'interface' | 'process' | 'folder' | 'file';
  /** Kernel name, pid or path below the host's folder. */
  readonly name: string;
  /** Null when the object has no readable owner mark. */
  readonly owner: OwnerToken | null;
}

export interface SweepResult {
  readonly removed: readonly ResidueItem[];
  readonly kept: number;
  /** Items that could not be removed, with the reason; the next sweep tries again. */
  readonly failed: readonly { readonly item: ResidueItem; readonly reason: string }[];
}

/** File descriptors of the worker process. */
export interface Descriptors {
  readonly used: number;
  /** 0 when none was left to read it. */
  readonly limit: number;
  /** With fewer than these free, nothing new is begun. */
  readonly reserved: number;
}

export interface HostDataplane {
  observeHost(call: Call): Promise<HostObservation>;
  /** Size and free space of the file system that holds the host's folder. Only reads. */
  readDisk(): Promise<Pick<HostObservation, 'diskMib' | 'diskFreeMib'>>;
  /**
   * Removes every object of ours whose owner is not in `owners`, the ids of all actors that are pinned to this host.
   * `owners` is called after the objects were listed. An object is made only after its owner was committed, so a
   * listed object whose owner is not returned has no owner. Objects named in `kept` are not removed whoever owns them,
   * except the folders of incarnations whose QEMU process has ended.
   */
  sweep(
    known: { readonly owners: () => Promise<readonly string[]>; readonly kept?: readonly string[] },
    call: Call,
  ): Promise<SweepResult>;
  readDescriptors(): Promise<Descriptors>;
  /** The runs, ports and VNIs that exist on this host now. Only reads. */
  readInventory(): Promise<HostInventory>;
  /** Every object of ours that is on the host now. Only reads. */
  residue(): Promise<readonly ResidueItem[]>;
}
