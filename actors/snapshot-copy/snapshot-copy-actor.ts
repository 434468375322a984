/** The kind `snapshot-copy`: the bytes of a snapshot on a host. Only its snapshot sends messages to it. */
import {
  snapshotCopyMachine,
  type SnapshotCopyContext,
} from '@photoncloud/machines/snapshot-copy/snapshot-copy-machine';
import { snapshotCopyKind } from '@photoncloud/machines/snapshot-copy/snapshot-copy-protocol';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import type { SnapshotDataplane } from '../dataplane/contract/snapshot-contract.ts';
import { defineActor } from '../kind/kind-definition.ts';
import { snapshotCopyPerformers } from './snapshot-copy-effects.ts';

export const snapshotCopyDefinition = (snapshots: SnapshotDataplane): ActorDefinition =>
  defineActor(snapshotCopyKind, {
    chartVersion: 1,
    machine: snapshotCopyMachine,
    performers: snapshotCopyPerformers(snapshots),
    spec: ({ spec }: SnapshotCopyContext) => spec,
    status: ({ proof, failure, tries }: SnapshotCopyContext) => ({ proof, failure, tries }),
    ignored: ['capture.ensure', 'capture.drop', 'host.gone'],
  });
