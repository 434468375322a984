/** The kind `port`: an address and a MAC in a network, and where they are bound. */
import type { PortContext } from '@photoncloud/machines/port/port-context';
import { portMachine } from '@photoncloud/machines/port/port-machine';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { portCommands } from './port-commands.ts';

export const portDefinition: ActorDefinition = {
  kind: 'port',
  chartVersion: 1,
  machine: portMachine,
  placement: 'sharded',
  input: (id) => ({ id }),
  commands: portCommands,
  // `port.release`: a VM that ends asks also for a port that was refused, and is told that it is gone.
  createdBy: ['port.create', 'port.release'],
  effects: {},
  view: ({ spec, uid, grant, host, runEpoch, proof, failure, tries }: PortContext) => ({
    spec,
    status: {
      uid,
      address: grant?.address ?? null,
      mac: grant?.mac ?? null,
      gateway: grant?.gateway ?? null,
      host: host?.name ?? null,
      runEpoch,
      proof,
      failure,
      tries,
    },
  }),
  ignored: [
    'segment.provided',
    'segment.failed',
    'binding.tapped',
    'binding.ready',
    'binding.failed',
    'binding.removed',
    'address.allocated',
    'address.refused',
    'host.found',
    'host.missing',
    'port.bind',
    'port.unbind',
  ],
};
