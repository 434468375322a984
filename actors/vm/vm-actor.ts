/** The kind `vm`: its declaration, its placement, and its restart policy. */
import { partsOfId } from '@photoncloud/machines/values/identifiers';
import type { VmContext } from '@photoncloud/machines/vm/vm-context';
import { vmMachine } from '@photoncloud/machines/vm/vm-machine';
import { vmKind } from '@photoncloud/machines/vm/vm-protocol';
import { consolePath } from '../dataplane/contract/incarnation-contract.ts';
import { defineActor } from '../kind/kind-definition.ts';

function statusOf(context: VmContext) {
  const { wanted, ports, host, runEpoch, machineType, incarnationUid, proof, runningSince, runs, tries } = context;
  const { awaited, proposed, runGeneration, wiring } = context;
  const volumes = Object.values(context.disks).map(({ volume, serial }) => ({ volume, serial }));
  return {
    wanted,
    host: host?.name ?? null,
    ports,
    wiring: runningSince === null ? {} : wiring,
    volumes,
    runEpoch,
    runGeneration,
    machineType,
    incarnationUid,
    proof,
    runningSince,
    runs,
    tries,
    awaited: [...awaited, ...(proposed?.awaited ?? [])],
  };
}

export const vmDefinition = defineActor(vmKind, {
  chartVersion: 1,
  machine: vmMachine,
  status: statusOf,
  output: (id, { lastRun }: VmContext) => {
    const { tenant, name } = partsOfId(id);
    return lastRun === null ? null : { node: lastRun.host, path: `${consolePath}${tenant}/${name}` };
  },
  operatorOnly: ['host', 'proof', 'wiring'],
  ignored: [
    'port.ready',
    'port.refused',
    'port.tapped',
    'port.unbound',
    'port.failed',
    'port.delayed',
    'port.gone',
    'volume.attached',
    'volume.located',
    'volume.refused',
    'image.provided',
    'image.refused',
    'incarnation.running',
    'incarnation.stalled',
    'incarnation.ended',
    'placed',
    'place.changed',
    'quota.granted',
  ],
});
