/** The kind `service-ip`: an address with a life of its own, at which hosts lead flows to backends. */
import type { ServiceIpContext } from '@photoncloud/machines/service-ip/service-ip-context';
import { serviceIpMachine } from '@photoncloud/machines/service-ip/service-ip-machine';
import { serviceIpKind } from '@photoncloud/machines/service-ip/service-ip-protocol';
import { holderNeeds } from '../kind/holder-needs.ts';
import { defineActor } from '../kind/kind-definition.ts';

/** Backends with what is known of each; `healthy` is null without a result. */
const membersOf = ({ members, verdicts, serving }: ServiceIpContext) =>
  Object.entries(members).map(([port, { address }]) => ({
    port,
    address,
    serves: serving.includes(address),
    healthy: verdicts[address]?.healthy ?? null,
    detail: verdicts[address]?.detail ?? '',
  }));

/** Events after which it may end although rules name it; the last is the deadline of the network. */
const ending = [
  'service-ip.delete',
  'quota.refused',
  'address.refused',
  'xstate.after.addressDeadline.service-ip.claiming.address',
];

export const serviceIpDefinition = defineActor(serviceIpKind, {
  chartVersion: 1,
  machine: serviceIpMachine,
  needs: holderNeeds(ending),
  status: (context: ServiceIpContext) => ({
    address: context.grant?.address ?? null,
    vpc: context.grant?.vpc ?? null,
    serving: context.serving,
    members: membersOf(context),
    surplus: context.surplus,
    holders: context.holders,
    followers: context.followers,
    checks: context.checks,
  }),
  operatorOnly: ['checks'],
  ignored: [
    'quota.granted',
    'quota.refused',
    'address.allocated',
    'address.refused',
    'address.confirm',
    'members.matched',
    'members.changed',
    'element.realized',
    'element.delayed',
    'element.removed',
    'check.observed',
    'check.delayed',
    'check.ended',
    'host.stands',
  ],
});
