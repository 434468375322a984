/** Messages of the cluster actor: hosts register, VPCs get VNIs, VMs and imports get a host. */
import { z } from 'zod';
import { hostReportSchema } from '../host/host-report.ts';
import { failureSchema } from '../values/failures.ts';
import { command, defineKind, message, noParams, type EventOf, type ValueOf } from '../values/kind.ts';
import { foundPortSchema, hostInventorySchema } from '../values/inventory-schema.ts';
import { hostFactsSchema } from '../values/wiring.ts';

export const clusterOpen = message('cluster.open', 'A controller has started, or the store has begun a new era.', {
  name: z.string(),
});
export const storeMemory = message(
  'store.memory',
  'How full the memory of the store is; sent by controllers at changes.',
  {
    usedBytes: z.int(),
    /** 0: without a limit. */
    limitBytes: z.int(),
    isScarce: z.boolean(),
  },
);
export const hostRegister = message(
  'host.register',
  'Facts of a host and whether it takes new VMs; sent at every change.',
  {
    host: z.string(),
    facts: hostReportSchema,
    schedulable: z.boolean(),
    silent: z.boolean(),
    fenced: z.boolean(),
  },
);
export const hostRegistered = message('host.registered', 'The host is part of the cluster, under this index.', {
  host: z.string(),
  facts: hostFactsSchema,
});
export const hostRefused = message('host.refused', 'The host cannot be part of the cluster now.', {
  host: z.string(),
  error: failureSchema,
});
export const hostResolve = message('host.resolve', 'Requests the facts of the host of this name.', {
  host: z.string(),
});
export const hostResolved = message('host.resolved', 'The facts of the host.', { host: hostFactsSchema });
export const hostMissing = message('host.missing', 'The cluster has no host of this name.', { host: z.string() });

export const inventoryReport = message(
  'inventory.report',
  'The inventory of a host in a new era; repeated until it is acknowledged.',
  {
    host: z.string(),
    era: z.int(),
    ...hostInventorySchema.shape,
  },
);
export const inventoryReceived = message('inventory.received', 'The cluster has stored the inventory.', {
  era: z.int(),
  /** The barrier of the era has been released; said again to all that have reported, when it is. */
  released: z.boolean().optional(),
});

export const vniAllocate = message('vni.allocate', 'A VPC requests its VNI.', { vpc: z.string() });
export const vniAllocated = message('vni.allocated', 'The VNI of the VPC.', { vni: z.int() });
export const vniRelease = message('vni.release', 'The VPC gives its VNI back; it is reused only after all others.', {
  vpc: z.string(),
});

export const lastRunSchema = z.object({ host: z.string(), incarnationUid: z.string() });
export type LastRun = ValueOf<typeof lastRunSchema>;

/** VMs of one group are kept on different hosts: always when it is hard, else where that is possible. */
const antiAffinity = z.object({ group: z.string(), isHard: z.boolean() });

export const place = message('place', 'A VM requests a host, or a migration one for its VM.', {
  vm: z.string(),
  cpus: z.int(),
  memoryMib: z.int(),
  /** Name of the only acceptable host, or null. */
  host: z.string().nullable(),
  /** Its volumes; one without bytes has no host. */
  volumes: z.array(z.object({ volume: z.string(), sizeMib: z.int(), host: z.string().nullable() })),
  /** The VM's last run; null when it never ran. */
  lastRun: lastRunSchema.nullable(),
  antiAffinity: antiAffinity.nullable().optional(),
  /** Hosts that are not wanted, such as the one that the VM is to leave. */
  avoid: z.array(z.string()).optional(),
});
export const placed = message('placed', 'Memory and processors of the host are reserved for the VM.', {
  vm: z.string(),
  host: hostFactsSchema,
  era: z.int(),
});
export const placeRefused = message('place.refused', 'No host can take the VM, with the reason of each host.', {
  vm: z.string(),
  error: failureSchema,
  reasons: z.array(z.object({ host: z.string(), reason: z.string() })),
});
export const placeChanged = message(
  'place.changed',
  'The answer to a VM that waits for a host may be another one now; the VM asks again.',
  { vm: z.string() },
);
/** Of a migration: the volumes that were promised room on its host. */
const movedVolumes = { volumes: z.array(z.string()).optional() };

export const placeTransfer = message(
  'place.transfer',
  'A migration has moved its VM: the reservation of the migration becomes that of the VM, whose own is released.',
  { vm: z.string(), migration: z.string(), ...movedVolumes },
);
export const placeRelease = message('place.release', 'The VM, or its migration, no longer needs its reservation.', {
  vm: z.string(),
  ...movedVolumes,
});

export const hostLost = message('host.lost', 'A host has been silent for longer than a restart of its worker takes.', {
  host: z.string(),
});
export const vmHostLost = message('vm.host-lost', 'The host of the VM is silent: what runs there is unknown.', {
  host: z.string(),
});
export const lossAsk = message(
  'loss.ask',
  'A VM wants to give up its run on a host that is silent, and to start on another one.',
  {
    /** The request for the other host, which is not placed yet. */
    request: place.schema,
    host: z.string(),
    /** Names of the hosts that have the bytes of its volumes. */
    storage: z.array(z.string()),
  },
);
export const lossGranted = message('loss.granted', 'The VM may give up its run there.', {
  host: z.string(),
  /** Names of all hosts that are silent: nobody waits for them. */
  silent: z.array(z.string()),
});
export const lossRefused = message('loss.refused', 'The VM keeps its run, and asks again.', {
  host: z.string(),
  error: failureSchema,
});
export const vmHostFound = message('vm.host-found', 'The host of the VM is back.', { host: z.string() });
export const volumeHostLost = message('volume.host-lost', 'The host that has room for the volume is silent.', {
  host: z.string(),
});
export const volumeHostFound = message('volume.host-found', 'The host that has room for the volume is back.', {
  host: z.string(),
});

export const occupantsAsk = message('occupants.ask', 'A drain wants to know which VMs are on its host.', {
  host: z.string(),
});
export const occupants = message('occupants', 'The VMs that have a reservation on the host.', {
  host: z.string(),
  /** Actor ids, sorted. */
  vms: z.array(z.string()),
  /** Migrations that lead there. */
  arriving: z.int(),
  /** Whether new VMs are placed there. */
  open: z.boolean(),
});

export const roomClaim = message('room.claim', 'A new volume or snapshot requests room for its bytes.', {
  volume: z.string(),
  sizeMib: z.int(),
  /** On a storage host, which is told; absent: on any host. */
  shared: z.boolean().optional(),
  /** On this host: what it is copied from is there. Absent: on any. */
  host: z.string().optional(),
});
export const roomGranted = message('room.granted', 'The room is promised to the volume.', {
  volume: z.string(),
  /** Of a shared one, its storage host; of one that was requested on a host, that one. */
  host: hostFactsSchema.nullable().optional(),
});
export const roomRefused = message('room.refused', 'No host has so much room that is not promised yet.', {
  volume: z.string(),
  error: failureSchema,
});
export const roomRelease = message('room.release', 'The volume no longer needs its room.', { volume: z.string() });

export const importPlace = message('import.place', 'An image requests a host that imports its bytes.', {
  image: z.string(),
  /** The allowed roots of the host must contain it; null: the bytes come over a network, to any host. */
  path: z.string().nullable(),
  host: z.string().nullable(),
});
export const importPlaced = message('import.placed', 'The host that imports the bytes.', {
  image: z.string(),
  host: hostFactsSchema,
});
export const importRefused = message('import.refused', 'No host can import the bytes.', {
  image: z.string(),
  error: failureSchema,
});

export const eraAsk = message(
  'era.ask',
  'In a new era a network requests the addresses that the inventories have found.',
  {
    network: z.string(),
    vpc: z.string(),
  },
);
export const eraCleared = message('era.cleared', 'The barrier is released; these ports were found on hosts.', {
  era: z.int(),
  taken: z.array(foundPortSchema),
});

export const rolloutClaim = message(
  'rollout.claim',
  'A rollout wants to be the only one; repeated, it is answered again.',
  {},
);
export const rolloutGranted = message('rollout.granted', 'No other rollout is under way, and none begins.', {});
export const rolloutRefused = message('rollout.refused', 'Another rollout is under way.', {
  error: failureSchema,
});
export const rolloutRelease = message('rollout.release', 'The rollout has ended, or does not exist.', {});
export const rolloutAsk = message(
  'rollout.ask',
  'Another rollout wants to begin: one that has ended, or does not exist, releases.',
  {},
);

export const clusterKind = defineKind({
  kind: 'cluster',
  says: 'One actor that registers hosts, allocates VNIs to VPCs, and places VMs, imports and volumes on hosts.',
  placement: 'sharded',
  commands: {
    'release-barrier': command(
      noParams,
      'Releases the barrier after a store rollback. The caller confirms that silent hosts are powered off.',
      { permission: 'admin', exemptFromOverload: true },
    ),
  },
  takes: [
    clusterOpen,
    storeMemory,
    hostRegister,
    hostResolve,
    hostLost,
    lossAsk,
    inventoryReport,
    vniAllocate,
    vniRelease,
    place,
    placeTransfer,
    placeRelease,
    occupantsAsk,
    roomClaim,
    roomRelease,
    importPlace,
    eraAsk,
    rolloutClaim,
    rolloutRelease,
  ],
  startedBy: [clusterOpen],
  fromNode: [clusterOpen, storeMemory],
  sends: [
    hostRegistered,
    hostRefused,
    hostResolved,
    hostMissing,
    inventoryReceived,
    vniAllocated,
    placed,
    placeRefused,
    occupants,
    vmHostLost,
    vmHostFound,
    volumeHostLost,
    volumeHostFound,
    lossGranted,
    lossRefused,
    roomGranted,
    roomRefused,
    placeChanged,
    importPlaced,
    importRefused,
    eraCleared,
    rolloutGranted,
    rolloutRefused,
    rolloutAsk,
  ],
  effects: [],
});

export type ClusterEvent = EventOf<typeof clusterKind>;
export type PlaceRequest = ValueOf<typeof place.schema>;
export type ImportRequest = ValueOf<typeof importPlace.schema>;
