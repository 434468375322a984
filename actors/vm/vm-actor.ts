/** The kind `vm`: what a tenant declared, where it runs, and what is done when a run ends. */
import { vmMachine } from '@photoncloud/machines/vm/vm-machine';
import type { VmContext } from '@photoncloud/machines/vm/vm-context';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { vmCommands } from './vm-commands.ts';

function statusOf(context: VmContext) {
  const {
    uid,
    wanted,
    ports,
    host,
    runEpoch,
    machineType,
    incarnationUid,
    proof,
    runningSince,
    runs,
    tries,
    failure,
    awaited,
    disks,
  } = context;
  const volumes = Object.values(disks).map(({ volume, serial }) => ({ volume, serial }));
  return {
    uid,
    wanted,
    host: host?.name ?? null,
    ports,
    volumes,
    runEpoch,
    machineType,
    incarnationUid,
    proof,
    runningSince,
    runs,
    tries,
    awaited,
    failure,
  };
}

export const vmDefinition: ActorDefinition = {
  kind: 'vm',
  chartVersion: 1,
  machine: vmMachine,
  placement: 'sharded',
  input: (id) => ({ id }),
  commands: vmCommands,
  createdBy: [],
  effects: {},
  view: (context: VmContext) => ({ spec: context.spec, status: statusOf(context) }),
  ignored: [
    'port.ready',
    'port.active',
    'port.tapped',
    'port.unbound',
    'port.failed',
    'port.gone',
    'volume.attached',
    'volume.located',
    'volume.refused',
    'image.provided',
    'image.refused',
    'incarnation.running',
    'incarnation.ended',
    'placed',
    'quota.granted',
  ],
};
