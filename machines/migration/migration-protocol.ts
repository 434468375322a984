/** Messages and the command of a migration: a VM moves to another host while it runs. */
import { z } from 'zod';
import { place, placeChanged, placed, placeRefused, placeRelease, placeTransfer } from '../cluster/cluster-protocol.ts';
import { imageFree, imageNeed, imageProvided, imageRefused } from '../image/image-protocol.ts';
import * as incarnation from '../incarnation/incarnation-protocol.ts';
import * as port from '../port/port-protocol.ts';
import { failureSchema } from '../values/failures.ts';
import { command, defineKind, message, noParams, type EventOf, type ValueOf } from '../values/kind.ts';
import {
  hostFactsSchema,
  incarnationDiskSchema,
  incarnationNicSchema,
  incarnationSpecSchema,
  migrationMethodSchema,
} from '../values/wiring.ts';
import * as volume from '../volume/volume-protocol.ts';
import { migrateLimits } from '../values/migration-limits.ts';

export const migrationStart = message('migration.start', 'The VM requests its move to another host.', {
  vm: z.string(),
  /** Name of the host to move to, or null for any. */
  to: z.string().nullable(),
  from: hostFactsSchema,
  /** The present run. */
  run: incarnationSpecSchema,
  /** Of the run that is to take its place. Absent: one more than that of the present run. */
  nextEpoch: z.int().optional(),
  /** Its volumes, with the room that each needs on the new host: 0 for a shared one. */
  volumes: z.array(z.object({ volume: z.string(), sizeMib: z.int() })),
  /** Ids of the images that it boots from. */
  images: z.array(z.object({ image: z.string() })),
  limits: migrateLimits,
});
export const migrationBegun = message('migration.begun', 'A host was found and reserved; the move begins.', {
  migration: z.string(),
  host: z.string(),
});
export const migrationBusy = message(
  'migration.busy',
  'An earlier migration of the VM still clears up on a host; this one was not begun.',
  { error: failureSchema },
);
export const migrationCommit = message(
  'migration.commit',
  'Both hosts have everything and neither guest runs: the VM decides whether its new run is the one that goes on.',
  {
    host: hostFactsSchema,
    /** That of the present run + 1. */
    runEpoch: z.int(),
    incarnationUid: z.string(),
    nics: z.array(incarnationNicSchema),
    disks: z.array(incarnationDiskSchema),
  },
);
export const migrationCommitted = message('migration.committed', 'The new run is the one of the VM.', {
  runEpoch: z.int(),
});
export const migrationRefused = message('migration.refused', 'The VM keeps its present run.', {
  runEpoch: z.int(),
  error: failureSchema,
});
export const migrationRecall = message('migration.recall', 'The VM wants its present run back, or no run at all.', {});

export const migrationAbandon = message(
  'migration.abandon',
  'The VM gives up its run on a host that is silent: nobody waits for what is there any more.',
  { host: z.string() },
);

export const migrationSummarySchema = z.object({
  result: z.enum(['moved', 'rolled-back', 'refused']),
  from: z.string(),
  to: z.string().nullable(),
  method: migrationMethodSchema.nullable(),
  /** Wall times, ms since the epoch. */
  startedAt: z.number(),
  endedAt: z.number(),
  /** How long the guest stood still, ms, by the clocks of both hosts; null when it was not measured. */
  pauseMs: z.number().nullable(),
  /** The same until all its addresses led to it, too, as its new host has proved; null when it was not measured. */
  gapMs: z.number().nullable(),
  sentBytes: z.number(),
  /** Connections of the guest that were open at the change of the host and that its new host knows. */
  keptFlows: z.int(),
  failure: failureSchema.nullable(),
});
export type MigrationSummary = ValueOf<typeof migrationSummarySchema>;

export const migrationEnded = message(
  'migration.ended',
  'The VM is where it stays. What is left on the other host is cleared up meanwhile.',
  { summary: migrationSummarySchema },
);

export const migrationKind = defineKind({
  kind: 'migration',
  says: 'The move of a running VM to another host, from its reservation there to the end of what is left here.',
  placement: 'sharded',
  secrets: ['run.seed.userData'],
  commands: {
    cancel: command(noParams, 'Ends the move, if the VM has not changed its host yet; it goes on where it was.'),
  },
  takes: [
    migrationStart,
    migrationCommitted,
    migrationRefused,
    migrationRecall,
    migrationAbandon,
    placed,
    placeRefused,
    placeChanged,
    port.portStandbyTapped,
    port.portStands,
    port.portStandbyFailed,
    port.portTakenOver,
    port.portStoodDown,
    volume.volumeStood,
    volume.volumeRefused,
    volume.volumeActivated,
    volume.volumeDropped,
    imageProvided,
    imageRefused,
    incarnation.incarnationReceiving,
    incarnation.incarnationReceived,
    incarnation.incarnationResumed,
    incarnation.incarnationProgress,
    incarnation.incarnationSent,
    incarnation.incarnationUnsent,
    incarnation.incarnationEnded,
  ],
  startedBy: [migrationStart],
  fromNode: [],
  sends: [
    migrationBegun,
    migrationBusy,
    migrationCommit,
    migrationEnded,
    place,
    placeRelease,
    placeTransfer,
    port.portStandBy,
    port.portTakeOver,
    port.portStandDown,
    volume.volumeStandby,
    volume.volumeActivate,
    volume.volumeDropStandby,
    imageNeed,
    imageFree,
    incarnation.incarnationReceive,
    incarnation.incarnationGoOn,
    incarnation.incarnationSend,
    incarnation.incarnationHold,
    incarnation.incarnationUnsend,
    incarnation.incarnationStop,
  ],
  effects: [],
});

export type MigrationEvent = EventOf<typeof migrationKind>;
export type MigrationStart = ValueOf<typeof migrationStart.schema>;
