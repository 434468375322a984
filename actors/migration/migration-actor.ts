/** The kind `migration`: a VM moves to another host while it runs. Its VM starts it, and decides. */
import { migrationMachine } from '@photoncloud/machines/migration/migration-machine';
import type { MigrationContext } from '@photoncloud/machines/migration/migration-context';
import { migrationKind } from '@photoncloud/machines/migration/migration-protocol';
import { reasonOf } from '@photoncloud/machines/values/conditions';
import { defineActor } from '../kind/kind-definition.ts';

export const migrationDefinition = defineActor(migrationKind, {
  chartVersion: 1,
  machine: migrationMachine,
  spec: ({ ask }: MigrationContext) => (ask === null ? {} : { vm: ask.vm, limits: ask.limits }),
  status: ({ ask, host, startedAt, progress, sent, resumedAt, awaited, result, failure }: MigrationContext) => ({
    from: ask?.from.name ?? null,
    to: host?.name ?? null,
    startedAt,
    progress,
    sent: sent && { ...sent, flows: sent.flows.length },
    resumedAt,
    awaited,
    result,
    failure,
  }),
  reason: ({ failure }: MigrationContext) => reasonOf({ failure }),
  operatorOnly: ['from', 'to'],
  ignored: [
    'migration.start',
    'migration.committed',
    'migration.refused',
    'migration.recall',
    'placed',
    'place.refused',
    'place.changed',
    'port.standby-tapped',
    'port.stands',
    'port.standby-failed',
    'port.taken-over',
    'port.stood-down',
    'volume.stood',
    'volume.refused',
    'volume.activated',
    'volume.dropped',
    'image.provided',
    'image.refused',
    'incarnation.receiving',
    'incarnation.received',
    'incarnation.resumed',
    'incarnation.progress',
    'incarnation.sent',
    'incarnation.unsent',
    'incarnation.ended',
  ],
});
