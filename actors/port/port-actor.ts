/** The kind `port`: an address and a MAC in a network, and where they are bound. */
import type { PortContext } from '@photoncloud/machines/port/port-context';
import { shownAbandoned } from '@photoncloud/machines/port/port-loss';
import { shownStandby } from '@photoncloud/machines/port/port-standby';
import { portMachine } from '@photoncloud/machines/port/port-machine';
import { portKind, portSpec } from '@photoncloud/machines/port/port-protocol';
import { defineActor } from '../kind/kind-definition.ts';

export const portDefinition = defineActor(portKind, {
  chartVersion: 2,
  upgrades: {
    // Ports can be followed, can stand by on a second host, and have address pairs, a DNS name, or no port security.
    1: ({ state, context }) => {
      const { spec, ...rest } = context as PortContext;
      const whole = spec === null ? null : portSpec.parse(spec);
      return {
        state,
        context: { ...rest, spec: whole, followers: [], proposed: null, located: [], standby: null, abandoned: [] },
      };
    },
  },
  machine: portMachine,
  status: ({ holder, grant, host, runEpoch, proof, standby, abandoned, tries }: PortContext) => ({
    holder,
    address: grant?.address ?? null,
    mac: grant?.mac ?? null,
    gateway: grant?.gateway ?? null,
    host: host?.name ?? null,
    runEpoch,
    proof,
    standby: shownStandby(standby),
    abandoned: shownAbandoned(abandoned),
    tries,
  }),
  operatorOnly: ['host', 'proof', 'standby', 'abandoned'],
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
    'address.revised',
    'address.unrevised',
    'host.resolved',
    'host.missing',
    'port.bind',
    'port.rest',
    'port.abandon',
  ],
});
