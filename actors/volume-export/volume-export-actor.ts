/** The kind `volume-export`: who may use a shared volume, on the host of its bytes. Only its volume sends to it. */
import {
  volumeExportMachine,
  type VolumeExportContext,
} from '@photoncloud/machines/volume-export/volume-export-machine';
import { volumeExportKind } from '@photoncloud/machines/volume-export/volume-export-protocol';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import type { ExportDataplane } from '../dataplane/contract/export-contract.ts';
import { defineActor } from '../kind/kind-definition.ts';
import { volumeExportPerformers } from './volume-export-effects.ts';

export const volumeExportDefinition = (exports: ExportDataplane): ActorDefinition =>
  defineActor(volumeExportKind, {
    chartVersion: 1,
    machine: volumeExportMachine,
    performers: volumeExportPerformers(exports),
    spec: ({ spec }: VolumeExportContext) => spec,
    status: ({ served, failure, tries }: VolumeExportContext) => ({ served, failure, tries }),
    ignored: ['export.drop', 'host.gone'],
  });
