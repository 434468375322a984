/** The kind `volume`: a disk that outlives the VMs that use it. */
import { serialOf } from '@photoncloud/machines/values/serials';
import { volumeMachine } from '@photoncloud/machines/volume/volume-machine';
import type { VolumeContext } from '@photoncloud/machines/volume/volume-context';
import { volumeKind } from '@photoncloud/machines/volume/volume-protocol';
import { shownStandby } from '@photoncloud/machines/volume/volume-standby';
import { volumeFiguresPath } from '../dataplane/contract/storage-contract.ts';
import { defineActor } from '../kind/kind-definition.ts';

/** Every volume was local before. */
const upgraded = (context: VolumeContext): VolumeContext => ({
  ...context,
  spec: context.spec === null ? null : { ...context.spec, class: 'local', snapshot: null },
  client: context.host,
  access: null,
  standby: null,
  growth: null,
  resizing: null,
  captures: [],
  filling: null,
});

export const volumeDefinition = defineActor(volumeKind, {
  chartVersion: 2,
  upgrades: { 1: ({ state, context }) => ({ state, context: upgraded(context as VolumeContext) }) },
  machine: volumeMachine,
  status: ({ uid, host, holder, client, runEpoch, standby, captures, filling, resizing }: VolumeContext) => ({
    serial: serialOf(uid),
    host: host?.name ?? null,
    holder,
    runEpoch,
    client: client?.name ?? null,
    standby: shownStandby(standby),
    /** The guest is being told this size, MiB. */
    resizingTo: resizing?.sizeMib ?? null,
    snapshots: captures,
    filledFrom: filling?.snapshot ?? null,
  }),
  /** Where its bytes are, and where its guest is. */
  figures: (_, { uid, host, client, holder }: VolumeContext) => {
    const nodes = [host?.name, holder === null ? undefined : client?.name].filter((node) => node !== undefined);
    return [...new Set(nodes)].map((node) => ({ node, path: `${volumeFiguresPath}${uid}` }));
  },
  operatorOnly: ['host', 'client', 'standby'],
  ignored: [
    'replica.ready',
    'image.provided',
    'volume.detach',
    'replica.failed',
    'replica.removed',
    'quota.granted',
    'quota.refused',
    'room.granted',
    'room.refused',
    'export.serving',
    'export.failed',
    'export.dropped',
    'incarnation.resized',
    'snapshot.ended',
    'snapshot.provided',
    'snapshot.refused',
  ],
});
