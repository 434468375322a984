/**
 * What a worker is asked to make, as plain JSON: the params of effects, written by charts and read by actors/dataplane.
 * Nothing here is a kernel name; the dataplane derives those (prefix plus hash) from the ids.
 */

/** Who owns a kernel object; stands in its ifalias. A lower runEpoch never touches what a higher one made. */
export interface OwnerToken {
  /** Actor id of the counterpart that owns it: `binding/acme/web-1.eth0@w1`. */
  readonly actor: string;
  readonly uid: string;
  readonly runEpoch: number;
}

/** What every other part may need to know of a host, as the cluster actor has registered it. */
export interface HostFacts {
  readonly name: string;
  /** 1..254, given by the cluster actor: overlay address 169.254.64.<index>, vx0 MAC 02:00:5f:00:00:<index hex>. */
  readonly index: number;
  /** IPv4 address of the host on the underlay. */
  readonly underlay: string;
  readonly underlayMtu: number;
}

export interface SubnetSpec {
  readonly name: string;
  readonly cidr: string;
  /** First usable address unless declared. */
  readonly gateway: string;
}

/** One bridge on every host that has a port of the network. */
export interface NetworkSpec {
  /** Actor id: `network/acme/front`. */
  readonly network: string;
  readonly uid: string;
  readonly subnets: readonly SubnetSpec[];
  readonly mtu: number;
  readonly dhcp: {
    readonly leaseSeconds: number;
    readonly dns: readonly string[];
    readonly domain: string | null;
    readonly ntp: readonly string[];
  };
}

/** An address of a port and the overlay address of the host that holds it. */
export interface RouteSpec {
  readonly address: string;
  readonly host: number;
}

/** A VPC on a host: namespace, vx0, a bridge per network, one dnsmasq, nft skeleton. */
export interface SegmentSpec {
  readonly owner: OwnerToken;
  /** Actor id: `vpc/acme/main`. */
  readonly vpc: string;
  readonly vni: number;
  readonly self: HostFacts;
  readonly peers: readonly HostFacts[];
  readonly networks: readonly NetworkSpec[];
  /** Ports held by other hosts. */
  readonly routes: readonly RouteSpec[];
  /** Grows with every change of the desired segment. */
  readonly generation: number;
}

/** Read back from the kernel, never echoed. */
export interface SegmentProof {
  readonly namespace: string;
  readonly vxlanIfindex: number;
  readonly bridges: Readonly<Record<string, { readonly ifindex: number; readonly mtu: number }>>;
  readonly dnsmasqPid: number;
  readonly nftGeneration: number;
  readonly generation: number;
}

/** A port on a host. The tap is made down in the host's namespace, taken by QEMU, then moved and wired. */
export interface TapSpec {
  readonly owner: OwnerToken;
  readonly vpc: string;
  readonly network: string;
  readonly port: string;
  readonly mac: string;
  readonly address: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly mtu: number;
  /** DHCP host name: the port's name up to the dot. */
  readonly hostname: string;
}

export interface TapProof {
  readonly tap: string;
  readonly ifindex: number;
  readonly bridge: string;
  readonly mtu: number;
  readonly route: string;
  readonly dhcpHost: string;
  readonly nftGeneration: number;
}

export type DiskFormat = 'raw' | 'qcow2';
/** `kernel` (bzImage) and `initrd` (cpio, maybe compressed) serve direct boot; `raw` and `qcow2` are disks. */
export type ImageFormat = DiskFormat | 'kernel' | 'initrd';

export interface CopyImportSpec {
  readonly owner: OwnerToken;
  /** Absolute path below one of the host's allowed roots. */
  readonly path: string;
  readonly format: ImageFormat;
  /** Expected digest, 64 hex digits, or null. */
  readonly sha256: string | null;
}

export interface CopyFetchSpec {
  readonly owner: OwnerToken;
  readonly format: ImageFormat;
  readonly sha256: string;
  readonly sizeBytes: number;
  /** Host that has it. */
  readonly from: string;
}

export interface CopyProof {
  readonly sha256: string;
  readonly sizeBytes: number;
  /** Size of the disk the guest would see; equals sizeBytes for raw, kernel and initrd. */
  readonly virtualSizeBytes: number;
}

export interface ReplicaSpec {
  readonly owner: OwnerToken;
  readonly volumeUid: string;
  /** 20 base32 characters, the guest's view of the disk. */
  readonly serial: string;
  readonly sizeMib: number;
  readonly format: DiskFormat;
  /** Filled from this image copy when new; null for an empty disk. */
  readonly image: { readonly sha256: string; readonly format: DiskFormat } | null;
}

export interface IncarnationNic {
  readonly port: string;
  readonly binding: string;
  readonly bindingUid: string;
  readonly mac: string;
  readonly mtu: number;
}

export interface IncarnationDisk {
  readonly volume: string;
  readonly volumeUid: string;
  readonly serial: string;
  readonly format: DiskFormat;
}

/** One run of a VM on a host. */
export interface IncarnationSpec {
  readonly owner: OwnerToken;
  readonly vm: string;
  /** Era in which the cluster placed it; a host starts nothing that was placed in an earlier one. 1 if absent. */
  readonly era?: number;
  readonly cpus: number;
  readonly memoryMib: number;
  /** Pinned and versioned, such as `pc-q35-7.2`; null lets the host pin its own default, which it reports. */
  readonly machineType: string | null;
  readonly nics: readonly IncarnationNic[];
  readonly disks: readonly IncarnationDisk[];
  /** Direct boot by image digests, or null to boot the first disk. */
  readonly boot: { readonly kernelSha256: string; readonly initrdSha256: string; readonly commandLine: string } | null;
}

export interface IncarnationProof {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: with the pid it names one process for ever. */
  readonly startTime: string;
  readonly qemuVersion: string;
  readonly machineType: string;
}

/** A run of a VM that a host has, as its kernel shows it. */
export interface FoundRun {
  readonly vm: string;
  /** Uid of the run. */
  readonly incarnationUid: string;
  readonly runEpoch: number;
}

/** A port that a host has: what its tap and its DHCP entry say. */
export interface FoundPort {
  readonly vpc: string;
  readonly port: string;
  readonly address: string;
  readonly mac: string;
}

/** What really is on a host, whatever the store knows of it. */
export interface HostInventory {
  readonly runs: readonly FoundRun[];
  readonly ports: readonly FoundPort[];
  readonly vnis: readonly { readonly vpc: string; readonly vni: number }[];
}
