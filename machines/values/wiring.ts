/**
 * The desired state of hosts as plain JSON: params of effects and fields of messages, written by charts and read by
 * actors/dataplane. Each shape is a schema, to validate received messages, and a type of the same name. There are no
 * kernel names here; the dataplane derives them (prefix and hash) from the ids.
 */
import { z } from 'zod';
import type { ValueOf } from './kind.ts';

/** The owner of a kernel object, written into its ifalias. A lower runEpoch never changes objects of a higher one. */
export const ownerTokenSchema = z.object({
  /** Actor id of the counterpart that owns it: `binding/acme/web-1.eth0@w1`. */
  actor: z.string(),
  uid: z.string(),
  runEpoch: z.number(),
});
export type OwnerToken = ValueOf<typeof ownerTokenSchema>;

/** Facts of a host, as registered by the cluster actor. */
export const hostFactsSchema = z.object({
  name: z.string(),
  /** 1..254, allocated by the cluster actor: overlay address 169.254.64.<index>, vx0 MAC 02:00:5f:00:00:<index hex>. */
  index: z.number(),
  /** IPv4 address of the host on the underlay. */
  underlay: z.string(),
  underlayMtu: z.number(),
});
export type HostFacts = ValueOf<typeof hostFactsSchema>;

export const subnetSpecSchema = z.object({
  name: z.string(),
  cidr: z.string(),
  /** First usable address unless declared. */
  gateway: z.string(),
});
export type SubnetSpec = ValueOf<typeof subnetSpecSchema>;

/** One bridge on every host that has a port of the network. */
export const networkSpecSchema = z.object({
  /** Actor id: `network/acme/front`. */
  network: z.string(),
  uid: z.string(),
  subnets: z.array(subnetSpecSchema),
  mtu: z.number(),
  dhcp: z.object({
    leaseSeconds: z.number(),
    dns: z.array(z.string()),
    domain: z.string().nullable(),
    search: z.array(z.string()),
    ntp: z.array(z.string()),
    /** Classless routes; absent in what an older release has sent or stored. */
    routes: z.array(z.object({ destination: z.string(), via: z.string() })).optional(),
  }),
  /** Whether guests may ask 169.254.169.254 about themselves; absent in what an older release has sent or stored. */
  metadata: z.boolean().optional(),
});
export type NetworkSpec = ValueOf<typeof networkSpecSchema>;

/** An address of a port and the overlay address of the host that holds it. */
export const routeSpecSchema = z.object({
  address: z.string(),
  host: z.number(),
});
export type RouteSpec = ValueOf<typeof routeSpecSchema>;

/** The elements of one section: key -> element, never null. The section's noun in the dataplane defines the element. */
export const elementsSchema = z.record(z.string(), z.unknown());
export type Elements = ValueOf<typeof elementsSchema>;

/** Identifies a segment on its host. */
export interface SegmentRef {
  readonly owner: OwnerToken;
  /** Actor id: `vpc/acme/main`. */
  readonly vpc: string;
}

/** A whole section. */
export interface SectionElements {
  readonly generation: number;
  readonly elements: Elements;
}

export interface SectionChange {
  readonly section: string;
  /** Generation of the section after the change. */
  readonly to: number;
  readonly put: Elements;
  /** Key -> the expected element: an element that differs is not removed. */
  readonly removed: Elements;
}

/** What the sections of a segment read from the kernel: namespace, interface indexes, bridges, the
 * pids of dnsmasq, the nft generation. Never copied from the request; each section adds its own facts.
 */
export const segmentProofSchema = z.record(z.string(), z.unknown());
export type SegmentProof = ValueOf<typeof segmentProofSchema>;

/** A further address of a port, and the MAC that it is reached at. */
export const addressPairSchema = z.object({ address: z.string(), mac: z.string() });
export type AddressPair = ValueOf<typeof addressPairSchema>;

/**
 * A port on a host. The tap is made in state down in the host's namespace, opened by QEMU, then moved into the VPC and
 * wired.
 */
export const tapSpecSchema = z.object({
  owner: ownerTokenSchema,
  vpc: z.string(),
  network: z.string(),
  port: z.string(),
  mac: z.string(),
  address: z.string(),
  prefixLength: z.number(),
  gateway: z.string(),
  mtu: z.number(),
  /** DHCP host name: the declared DNS name, or the port's name up to the dot. */
  hostname: z.string(),
  /** Ids of the port's security groups, sorted; without any the port sends and receives nothing. */
  groups: z.array(z.string()),
  /** Allowed address pairs, an address each, in order; absent in what an older release has sent: none. */
  pairs: z.array(addressPairSchema).optional(),
  /** False: the port sends with any source address, and no security groups apply. Absent: true. */
  portSecurity: z.boolean().optional(),
  /** Of a binding that stands by: index of the host that has the addresses. Absent: this host has them. */
  activeHost: z.number().optional(),
});
export type TapSpec = ValueOf<typeof tapSpecSchema>;

export const tapProofSchema = z.object({
  tap: z.string(),
  ifindex: z.number(),
  bridge: z.string(),
  mtu: z.number(),
  route: z.string(),
  dhcpHost: z.string(),
  nftGeneration: z.number(),
  /** The security groups whose rules apply to the addresses. */
  groups: z.array(z.string()),
  /** Of the allowed address pairs those whose route leads to the tap; absent: none. */
  pairs: z.array(addressPairSchema).optional(),
  /** False: the tap may send with any source address; absent: true. */
  portSecurity: z.boolean().optional(),
  /** True: everything is wired, but the routes of the addresses lead to another host; absent: they lead here. */
  standby: z.boolean().optional(),
});
export type TapProof = ValueOf<typeof tapProofSchema>;

export const diskFormatSchema = z.enum(['raw', 'qcow2']);
export type DiskFormat = ValueOf<typeof diskFormatSchema>;
/** `kernel` (bzImage) and `initrd` (cpio, maybe compressed) serve direct boot; `raw` and `qcow2` are disks. */
export const imageFormatSchema = z.enum(['raw', 'qcow2', 'kernel', 'initrd'], {
  error: 'must be raw, qcow2, kernel or initrd; convert other formats with qemu-img convert -O qcow2',
});
export type ImageFormat = ValueOf<typeof imageFormatSchema>;

export const copyImportSpecSchema = z.object({
  owner: ownerTokenSchema,
  /** Absolute path below one of the host's allowed roots. */
  path: z.string(),
  format: imageFormatSchema,
  /** Expected digest, 64 hex digits, or null. */
  sha256: z.string().nullable(),
});
export type CopyImportSpec = ValueOf<typeof copyImportSpecSchema>;

export const copyGatherSpecSchema = z.object({
  owner: ownerTokenSchema,
  /** An http(s) address that the host fetches, or the size of what a client sends. */
  source: z.union([z.object({ url: z.string() }), z.object({ uploadBytes: z.int() })]),
  format: imageFormatSchema,
  sha256: z.string(),
});
export type CopyGatherSpec = ValueOf<typeof copyGatherSpecSchema>;

/** How much of an image is on its first host; the total is null as long as no one has said it. */
export const copyProgressSchema = z.object({ receivedBytes: z.int(), totalBytes: z.int().nullable() });
export type CopyProgress = ValueOf<typeof copyProgressSchema>;

export const copyFetchSpecSchema = z.object({
  owner: ownerTokenSchema,
  format: imageFormatSchema,
  sha256: z.string(),
  sizeBytes: z.number(),
  /** Host that has it. */
  from: z.string(),
});
export type CopyFetchSpec = ValueOf<typeof copyFetchSpecSchema>;

export const copyProofSchema = z.object({
  sha256: z.string(),
  sizeBytes: z.number(),
  /** Size of the disk that a guest sees; equals sizeBytes for raw, kernel and initrd. */
  virtualSizeBytes: z.number(),
});
export type CopyProof = ValueOf<typeof copyProofSchema>;

export const replicaSpecSchema = z.object({
  owner: ownerTokenSchema,
  volumeUid: z.string(),
  /** 20 base32 characters: the disk serial that the guest sees. */
  serial: z.string(),
  sizeMib: z.number(),
  format: diskFormatSchema,
  /** Filled from this image copy when new; null for an empty disk. */
  image: z.object({ sha256: z.string(), format: diskFormatSchema }).nullable(),
  /** Filled from the copy of this snapshot when new. */
  snapshot: z
    .object({
      uid: z.string(),
      /** Name of the host that has the copy. */
      host: z.string(),
      allocatedBytes: z.number(),
      /** Uid of a restoration: the copy also replaces what is there, once for each such uid. */
      restore: z.string().nullable(),
    })
    .optional(),
});
export type ReplicaSpec = ValueOf<typeof replicaSpecSchema>;

export const incarnationNicSchema = z.object({
  port: z.string(),
  binding: z.string(),
  bindingUid: z.string(),
  mac: z.string(),
  mtu: z.number(),
  /** Where the guest has it, and keeps it when it moves; absent: its place in the list of NICs. */
  slot: z.int().optional(),
});
export type IncarnationNic = ValueOf<typeof incarnationNicSchema>;

/** Where the bytes of a disk are that are not in a file of the VM's host: an export that only one run may use. */
export const diskSourceSchema = z.object({
  kind: z.literal('nbd'),
  /** `<volume uid>.<run epoch>.<boot id of the host that has the bytes, when it was first served>`. */
  export: z.string(),
  /** Null: the bytes are on the VM's host, where a socket leads to them. */
  address: z.object({ host: z.string(), port: z.int() }).nullable(),
});
export type DiskSource = ValueOf<typeof diskSourceSchema>;

/** A run that may use the volume, and the host that it is on. */
export const exportClientSchema = z.object({ runEpoch: z.int(), host: z.string() });
export type ExportClient = ValueOf<typeof exportClientSchema>;

/** Who may use the bytes of a volume over the network. */
export const exportSpecSchema = z.object({
  /** Its run epoch is the floor: an older run is cut, and refused for ever. */
  owner: ownerTokenSchema,
  volumeUid: z.string(),
  clients: z.array(exportClientSchema),
});
export type ExportSpec = ValueOf<typeof exportSpecSchema>;

/** What is read of an export: where the run finds it, and the process that serves it. */
export const servedExportSchema = z.object({
  runEpoch: z.int(),
  source: diskSourceSchema,
  pid: z.int(),
});
export type ServedExport = ValueOf<typeof servedExportSchema>;

export const incarnationDiskSchema = z.object({
  volume: z.string(),
  volumeUid: z.string(),
  serial: z.string(),
  format: diskFormatSchema,
  /** Null or absent: a file of the host. */
  source: diskSourceSchema.nullable().optional(),
  /** Where the guest has it, and keeps it when it moves; absent: its place in the list of disks. */
  slot: z.int().optional(),
});
export type IncarnationDisk = ValueOf<typeof incarnationDiskSchema>;

/** What a guest is told of itself at its first boot. */
export const seedSpecSchema = z.object({
  /** The uid of the VM: the same over restarts and hosts, so that a guest sets itself up only once. */
  instanceId: z.string(),
  hostname: z.string(),
  /** Sealed (sealed.ts), or null. */
  userData: z.string().nullable(),
  sshKeys: z.array(z.string()),
  /** Whether it is told how its NICs are configured. */
  network: z.boolean(),
});
export type SeedSpec = ValueOf<typeof seedSpecSchema>;

/** Of a run that begins with the memory of another one, which is moved here while it runs. */
export const incomingSpecSchema = z.object({
  /** Uid of the migration: the key of its connections is derived from it. */
  migration: z.string(),
  /** Underlay address of this host, where QEMU listens. */
  listen: z.string(),
  /** Volumes whose bytes come with it: actor ids. */
  mirrors: z.array(z.string()),
});
export type IncomingSpec = ValueOf<typeof incomingSpecSchema>;

/** Where the QEMU of a run that begins so listens. */
export const incomingDoorSchema = z.object({
  /** Name of the host. */
  host: z.string(),
  address: z.string(),
  /** TCP port for the memory. */
  port: z.int(),
  /** TCP port for the bytes of volumes; null without any. */
  mirrorPort: z.int().nullable(),
});
export type IncomingDoor = ValueOf<typeof incomingDoorSchema>;

/** How a run is sent to another host. */
export const outgoingSpecSchema = z.object({
  migration: z.string(),
  door: incomingDoorSchema,
  mirrors: z.array(z.string()),
  /** The longest pause of the guest that QEMU may plan for, ms. */
  maxDowntimeMs: z.int(),
  /** The guest is slowed down while it writes memory faster than it is sent. */
  throttle: z.boolean(),
});
export type OutgoingSpec = ValueOf<typeof outgoingSpecSchema>;

/** `stopped`: the guest stands still from the beginning, because this QEMU cannot move one that runs. */
export const migrationMethodSchema = z.enum(['live', 'stopped']);
export type MigrationMethod = ValueOf<typeof migrationMethodSchema>;

/** How far a run has been sent. */
export const migrationProgressSchema = z.object({
  phase: z.enum(['mirroring', 'copying', 'finishing']),
  method: migrationMethodSchema,
  /** Of memory and volumes together. */
  totalBytes: z.number(),
  remainingBytes: z.number(),
  /** Over the network so far, also what was sent again. */
  sentBytes: z.number(),
  /** Memory that the guest writes, bytes per second. */
  dirtyRate: z.number(),
  /** Bytes per second that are sent. */
  rate: z.number(),
});
export type MigrationProgress = ValueOf<typeof migrationProgressSchema>;

/** One run of a VM on a host. */
export const incarnationSpecSchema = z.object({
  owner: ownerTokenSchema,
  vm: z.string(),
  /** Era of the placement; a host does not start a run that was placed in an earlier era. 1 if absent. */
  era: z.number().optional(),
  cpus: z.number(),
  memoryMib: z.number(),
  /** Pinned and versioned, such as `pc-q35-7.2`; null lets the host pin its own default, which it reports. */
  machineType: z.string().nullable(),
  nics: z.array(incarnationNicSchema),
  disks: z.array(incarnationDiskSchema),
  /** So many disks it may have, each on a root port that it can leave; absent in a run of an older release. */
  diskSlots: z.int().optional(),
  /** The same of NICs. */
  nicSlots: z.int().optional(),
  /** Direct boot by image digests, or null to boot the first disk. */
  boot: z.object({ kernelSha256: z.string(), initrdSha256: z.string(), commandLine: z.string() }).nullable(),
  /** Absent in a run that an earlier release began: its QEMU has no seed disk. */
  seed: seedSpecSchema.optional(),
  /** Absent: it has no port for the QEMU guest agent. */
  guestAgent: z.literal(true).optional(),
  /** Only of a run that is moved here, until its guest runs. */
  incoming: incomingSpecSchema.optional(),
});
export type IncarnationSpec = ValueOf<typeof incarnationSpecSchema>;

export const incarnationProofSchema = z.object({
  pid: z.number(),
  /** Field 22 of /proc/<pid>/stat: together with the pid it identifies one process. */
  startTime: z.string(),
  qemuVersion: z.string(),
  machineType: z.string(),
  /** Root ports for disks, as QEMU has them; absent: none. */
  diskSlots: z.int().optional(),
  /** The same of NICs. */
  nicSlots: z.int().optional(),
});
export type IncarnationProof = ValueOf<typeof incarnationProofSchema>;
