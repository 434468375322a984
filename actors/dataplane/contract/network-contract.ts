/**
 * The network part of the dataplane's interface: segments (a VPC on this host) and taps (a port on this host).
 * Every method takes `(params, call)`, is idempotent, and returns what was read back from the kernel, never a copy of
 * its parameters. Effects of `segment` and `binding` call it.
 */
import type {
  OwnerToken,
  RouteSpec,
  SegmentProof,
  SegmentSpec,
  TapProof,
  TapSpec,
} from '@photoncloud/machines/values/wiring';
import type { Call } from './call-contract.ts';

/** The part of a SegmentSpec that identifies a segment; a whole spec can be passed. */
export interface SegmentRef {
  readonly owner: OwnerToken;
  readonly vpc: string;
}

export interface RouteChange {
  readonly segment: SegmentRef;
  /** Routes to ports on other hosts: `address/32 via 169.254.64.<host> dev vx0`. A route that exists is no error. */
  readonly added: readonly RouteSpec[];
  /** A route is removed only if it leads to the named host: the address may have moved to this host since. */
  readonly removed: readonly RouteSpec[];
}

/**
 * The segment as read from the kernel; `proof` is null when essential parts are missing. `drift` lists the differences
 * from the spec and is empty when there are none.
 */
export interface SegmentReading {
  readonly proof: SegmentProof | null;
  readonly drift: readonly string[];
}

export interface SegmentBroken {
  readonly reason: 'dnsmasq_gone' | 'namespace_gone' | 'vxlan_gone' | 'bridge_gone';
  /** One sentence: what is missing. */
  readonly detail: string;
}

/** The part of a TapSpec that identifies a tap and its address; a whole spec can be passed. */
export interface TapRef {
  readonly owner: OwnerToken;
  readonly vpc: string;
  readonly network: string;
  readonly mac: string;
  readonly address: string;
}

export interface TapCreated {
  readonly tap: string;
  readonly ifindex: number;
  /** `host`: in the host's namespace, not yet opened by QEMU; `segment`: opened by QEMU and moved into the segment. */
  readonly place: 'host' | 'segment';
}

export interface TapReading {
  readonly place: 'none' | 'host' | 'segment';
  /** Owner as written on the tap; null when there is no tap or no mark. */
  readonly owner: OwnerToken | null;
  /** A process has the tap open. */
  readonly carrier: boolean;
  readonly proof: TapProof | null;
  readonly drift: readonly string[];
}

export interface TapBroken {
  readonly reason: 'tap_gone' | 'tap_drift';
  /** One sentence: what is missing or differs. */
  readonly detail: string;
}

export interface NetworkDataplane {
  /**
   * Makes the VPC on this host as the spec says and removes networks and routes that are no longer in the spec.
   * @throws fault `kernel_busy`, `vni_busy`, `dnsmasq_failed`; defeat `mtu_too_large`, `kernel_refused`,
   *   `name_taken`; unknown `program_timeout`
   */
  ensureSegment(spec: SegmentSpec, call: Call): Promise<SegmentProof>;
  /** @throws fault `segment_missing`: ensure the segment first */
  setRoutes(change: RouteChange, call: Call): Promise<{ readonly applied: number }>;
  readSegment(spec: SegmentSpec, call: Call): Promise<SegmentReading>;
  /** Resolves when a part of the segment is gone. Rejects with the signal's reason when aborted. */
  watchSegment(spec: SegmentSpec, call: Call): Promise<SegmentBroken>;
  /**
   * No error when the segment does not exist; resolves once the VNI is free again. @throws fault `segment_in_use` while
   * taps are in it
   */
  removeSegment(segment: SegmentRef, call: Call): Promise<{ readonly removed: boolean }>;

  /**
   * Makes a persistent tap, down, in the host's namespace, for QEMU to open. @throws fault `kernel_busy`; defeat
   * `name_taken`
   */
  createTap(spec: TapSpec, call: Call): Promise<TapCreated>;
  /**
   * Moves the tap into the VPC and wires it: rules, neighbour, FDB, DHCP host, up, route. The rules are loaded before
   * the tap is up (docs/threats.md#t14).
   * @throws fault `tap_missing`, `segment_missing`, `network_missing`, `kernel_busy`; unknown `program_timeout`
   */
  wireTap(spec: TapSpec, call: Call): Promise<TapProof>;
  readTap(spec: TapSpec, call: Call): Promise<TapReading>;
  /** Resolves when a wired tap is gone or differs from the spec. Rejects with the signal's reason when aborted. */
  watchTap(spec: TapSpec, call: Call): Promise<TapBroken>;
  /** No error when the tap does not exist. An address that another tap has by now keeps its rules and its route. */
  removeTap(tap: TapRef, call: Call): Promise<{ readonly removed: boolean }>;
}
