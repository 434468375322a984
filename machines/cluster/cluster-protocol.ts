/** What the one cluster actor answers: hosts register, VPCs get numbers, VMs and imports get a host. */
import { z } from 'zod';
import { hostReportSchema } from '../host/host-report.ts';
import { failureSchema } from '../values/failures.ts';
import { command, defineKind, message, noParams, type EventOf, type ValueOf } from '../values/kind.ts';
import { foundPortSchema, hostFactsSchema, hostInventorySchema } from '../values/wiring.ts';

export const clusterOpen = message('cluster.open', 'A controller has started, or the store has begun a new era.', {
  name: z.string(),
});
export const hostRegister = message(
  'host.register',
  'What a host has and whether it takes work; said again at every change.',
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
export const hostResolve = message('host.resolve', 'Who is the host of this name?', { host: z.string() });
export const hostResolved = message('host.resolved', 'The facts of the host.', { host: hostFactsSchema });
export const hostMissing = message('host.missing', 'The cluster has no host of this name.', { host: z.string() });

export const inventoryReport = message(
  'inventory.report',
  'What a host really has, read from its kernel in a new era; said until heard.',
  {
    host: z.string(),
    era: z.int(),
    ...hostInventorySchema.shape,
  },
);
export const inventoryReceived = message('inventory.received', 'The cluster has taken the inventory down.', {
  era: z.int(),
});

export const vniAllocate = message('vni.allocate', 'A VPC wants its number on the wire.', { vpc: z.string() });
export const vniAllocated = message('vni.allocated', 'The number of the VPC.', { vni: z.int() });
export const vniRelease = message('vni.release', 'The number is free; it comes up again only after all others.', {
  vpc: z.string(),
});

export const lastRunSchema = z.object({ host: z.string(), incarnationUid: z.string() });
export type LastRun = ValueOf<typeof lastRunSchema>;

export const place = message('place', 'A VM wants a host.', {
  vm: z.string(),
  cpus: z.int(),
  memoryMib: z.int(),
  /** Name of the only host that will do, or null. */
  host: z.string().nullable(),
  /** Hosts its volumes are on; a volume that is nowhere yet counts for nothing. */
  volumeHosts: z.array(z.string().nullable()),
  /** Its last run as the VM knows it; null when it never ran. */
  lastRun: lastRunSchema.nullable(),
});
export const placed = message('placed', 'Room on the host is reserved for the VM.', {
  vm: z.string(),
  host: hostFactsSchema,
  era: z.int(),
});
export const placeRefused = message('place.refused', 'No host takes the VM, and why, host by host.', {
  vm: z.string(),
  error: failureSchema,
  reasons: z.array(z.object({ host: z.string(), reason: z.string() })),
});
export const placeRelease = message('place.release', 'The VM needs its room no more.', { vm: z.string() });

export const importPlace = message('import.place', 'An image wants a host that allows its path.', {
  image: z.string(),
  path: z.string(),
  host: z.string().nullable(),
});
export const importPlaced = message('import.placed', 'The host that reads the file.', {
  image: z.string(),
  host: hostFactsSchema,
});
export const importRefused = message('import.refused', 'No host allows the path.', {
  image: z.string(),
  error: failureSchema,
});

export const eraAsk = message('era.ask', 'In a new era a network asks which addresses hosts really have.', {
  network: z.string(),
  vpc: z.string(),
});
export const eraCleared = message('era.cleared', 'The barrier is released; these ports were found on hosts.', {
  era: z.int(),
  taken: z.array(foundPortSchema),
});

export const clusterKind = defineKind({
  kind: 'cluster',
  says: 'One actor that knows the hosts, gives numbers to VPCs, and says which host takes a VM or an import.',
  placement: 'sharded',
  commands: {
    'release-barrier': command(
      noParams,
      'After a store rollback: places and allocates again. Says that hosts which are silent are powered off.',
      { permission: 'admin', exemptFromOverload: true },
    ),
  },
  takes: [
    clusterOpen,
    hostRegister,
    hostResolve,
    inventoryReport,
    vniAllocate,
    vniRelease,
    place,
    placeRelease,
    importPlace,
    eraAsk,
  ],
  startedBy: [clusterOpen],
  fromNode: [clusterOpen],
  sends: [
    hostRegistered,
    hostRefused,
    hostResolved,
    hostMissing,
    inventoryReceived,
    vniAllocated,
    placed,
    placeRefused,
    importPlaced,
    importRefused,
    eraCleared,
  ],
  effects: [],
});

export type ClusterEvent = EventOf<typeof clusterKind>;
export type PlaceRequest = ValueOf<typeof place.schema>;
export type ImportRequest = ValueOf<typeof importPlace.schema>;
