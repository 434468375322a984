/**
 * The network part of the dataplane's interface: segments (a VPC on this host) and taps (a port on this host).
 * Every method takes `(params, call)`, is idempotent, and returns what was read back from the kernel, never a copy of
 * its parameters. Effects of `segment` and `binding` call it.
 */
import type { Failure } from '@photoncloud/machines/values/failures';
import type {
  OwnerToken,
  SectionChange,
  SectionElements,
  SegmentProof,
  SegmentRef,
  TapProof,
  TapSpec,
} from '@photoncloud/machines/values/wiring';
import type { Call } from './call-contract.ts';

/** Section -> what it is to have. */
export type Sections = Readonly<Record<string, SectionElements>>;

/** Every section asked for is in one of the two: one that fails stops no other. */
export interface SegmentOutcome {
  /** Section -> generation, compared with what was read back. */
  readonly proven: Readonly<Record<string, number>>;
  /** Section -> why: fault `segment_missing`, `segment_drifted`, `kernel_busy` ...; defeat `section_unknown` ... */
  readonly failed: Readonly<Record<string, Failure>>;
}

export interface SegmentRealized extends SegmentOutcome {
  readonly proof: SegmentProof;
}

/** What the kernel says now. `drift` names by section what differs; a section that fits is not in it. */
export interface SegmentReading {
  readonly proof: SegmentProof;
  readonly drift: Readonly<Record<string, readonly string[]>>;
}

export interface SegmentBroken {
  /** Section that has lost something. */
  readonly section: string;
  readonly reason:
    | 'dnsmasq_gone'
    | 'metadata_gone'
    | 'namespace_gone'
    | 'vxlan_gone'
    | 'filter_gone'
    | 'bridge_gone'
    | 'link_gone'
    | 'gateway_gone'
    | 'permit_gone'
    | 'outside_gone';
  /** One sentence: what is missing. */
  readonly detail: string;
  /** The element that is concerned, where it is a single one. */
  readonly key?: string;
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
   * Makes every section as it is given, by difference, and takes away what it no longer has. In a section:
   * fault `kernel_busy`, `vni_busy`, `dnsmasq_failed`; defeat `mtu_too_large`, `kernel_refused`; unknown
   * `program_timeout`. @throws ownership_lost; defeat `spec_invalid` for what names the segment
   */
  realizeSegment(
    ask: { readonly segment: SegmentRef; readonly sections: Sections },
    call: Call,
  ): Promise<SegmentRealized>;
  /** Changes single elements of what stands. In a section: fault `segment_missing`: realize the segment first. */
  changeSegment(
    ask: { readonly segment: SegmentRef; readonly changes: readonly SectionChange[] },
    call: Call,
  ): Promise<SegmentOutcome>;
  readSegment(ask: { readonly segment: SegmentRef; readonly sections: Sections }, call: Call): Promise<SegmentReading>;
  /**
   * Resolves when something of the sections named has vanished. Rejects with the signal's reason when aborted.
   */
  watchSegment(
    ask: { readonly segment: SegmentRef; readonly sections: readonly string[] },
    call: Call,
  ): Promise<SegmentBroken>;
  /** Gone already is fine; resolves once the VNI is free again. @throws fault `segment_in_use` while taps are in it */
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
