/**
 * The network half of the dataplane's port: segments (a VPC on this host) and taps (a port on this host).
 * Every method is (params, call), idempotent, and returns what was read back from the kernel, never an echo.
 * Effects of `segment` and `binding` call it; a simulation implements the same interface.
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

/** Enough to find a segment again; a SegmentSpec is one as it stands. */
export interface SegmentRef {
  readonly owner: OwnerToken;
  readonly vpc: string;
}

export interface RouteChange {
  readonly segment: SegmentRef;
  /** Ports now held by other hosts: `address/32 via 169.254.64.<host> dev vx0`. Adding what is there is fine. */
  readonly added: readonly RouteSpec[];
  /** Only a route via that very host is taken away: an address that has moved here since is left alone. */
  readonly removed: readonly RouteSpec[];
}

/**
 * What the kernel says now; null where there is nothing. `drift` names what differs from the spec, empty when it
 * fits.
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

/** Enough to find a tap again; a TapSpec is one as it stands. */
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
  /** `host`: waiting for its QEMU in the host's namespace; `segment`: a live QEMU holds it and it is already moved. */
  readonly place: 'host' | 'segment';
}

export interface TapReading {
  readonly place: 'none' | 'host' | 'segment';
  /** Owner as written on the tap; null when there is no tap. */
  readonly owner: OwnerToken | null;
  /** A process holds the tap open. */
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
   * Makes the VPC on this host as the spec says and removes networks and routes the spec no longer has.
   * @throws fault `kernel_busy`, `vni_busy`, `dnsmasq_failed`; defeat `mtu_too_large`, `kernel_refused`,
   *   `name_taken`; unknown `program_timeout`
   */
  ensureSegment(spec: SegmentSpec, call: Call): Promise<SegmentProof>;
  /** @throws fault `segment_missing`: ensure the segment first */
  setRoutes(change: RouteChange, call: Call): Promise<{ readonly applied: number }>;
  readSegment(spec: SegmentSpec, call: Call): Promise<SegmentReading>;
  /** Resolves when something of it has vanished. Rejects with the signal's reason when aborted. */
  watchSegment(spec: SegmentSpec, call: Call): Promise<SegmentBroken>;
  /** Gone already is fine; resolves once the VNI is free again. @throws fault `segment_in_use` while taps are in it */
  removeSegment(segment: SegmentRef, call: Call): Promise<{ readonly removed: boolean }>;

  /**
   * A persistent tap, down, in the host's namespace, for QEMU to take. @throws fault `kernel_busy`; defeat
   * `name_taken`
   */
  createTap(spec: TapSpec, call: Call): Promise<TapCreated>;
  /**
   * Moves it into the VPC and wires it: rules, neighbour, FDB, DHCP host, up, route. Order T14: rules before up.
   * @throws fault `tap_missing`, `segment_missing`, `network_missing`, `kernel_busy`; unknown `program_timeout`
   */
  wireTap(spec: TapSpec, call: Call): Promise<TapProof>;
  readTap(spec: TapSpec, call: Call): Promise<TapReading>;
  /** Resolves when a wired tap has vanished or differs from the spec. Rejects with the signal's reason when aborted. */
  watchTap(spec: TapSpec, call: Call): Promise<TapBroken>;
  /** Gone already is fine. An address that another tap holds by now is left alone. */
  removeTap(tap: TapRef, call: Call): Promise<{ readonly removed: boolean }>;
}
