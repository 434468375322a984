/** The kind `port`: an address and a MAC in a network, and where they are bound. */
import type { PortContext } from '@photoncloud/machines/port/port-context';
import { portMachine } from '@photoncloud/machines/port/port-machine';
import { portKind } from '@photoncloud/machines/port/port-protocol';
import { defineActor } from '../kind/kind-definition.ts';

export const portDefinition = defineActor(portKind, {
  chartVersion: 1,
  machine: portMachine,
  status: ({ holder, grant, host, runEpoch, proof, tries }: PortContext) => ({
    holder,
    address: grant?.address ?? null,
    mac: grant?.mac ?? null,
    gateway: grant?.gateway ?? null,
    host: host?.name ?? null,
    runEpoch,
    proof,
    tries,
  }),
  operatorOnly: ['host', 'proof'],
  ignored: [
    'segment.provided',
    'segment.refused',
    'segment.delayed',
    'binding.tapped',
    'binding.ready',
    'binding.failed',
    'binding.removed',
    'address.allocated',
    'address.confirm',
    'address.refused',
    'host.resolved',
    'host.missing',
    'port.bind',
    'port.rest',
  ],
});
