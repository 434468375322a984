/** The kind `peering`: two VPCs of a tenant whose networks reach each other, by a link on every host of both. */
import { peeringMachine } from '@photoncloud/machines/peering/peering-machine';
import type { PeeringContext } from '@photoncloud/machines/peering/peering-messages';
import { peeringKind } from '@photoncloud/machines/peering/peering-protocol';
import { defineActor } from '../kind/kind-definition.ts';

/** What the peering knows of each VPC. */
function statusOf({ reaches, edition, proven }: PeeringContext) {
  const vpcs = Object.entries(reaches).map(([vpc, { ranges, hosts }]) => ({
    vpc,
    ranges,
    hosts: hosts.map(({ name }) => name),
    proven: proven[vpc] ?? 0,
  }));
  return {
    vpcs: vpcs.map(({ vpc, ranges }) => ({ vpc, ranges })),
    edition,
    hosts: vpcs.map(({ vpc, hosts, proven: heard }) => ({ vpc, hosts, proven: heard })),
  };
}

export const peeringDefinition = defineActor(peeringKind, {
  chartVersion: 1,
  machine: peeringMachine,
  status: statusOf,
  operatorOnly: ['hosts'],
  ignored: [
    'quota.granted',
    'quota.refused',
    'reach.told',
    'peer.members',
    'peer.service',
    'element.realized',
    'element.delayed',
    'element.removed',
  ],
});
