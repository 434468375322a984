/** The kind `router`: static routes of a VPC, and its way out through an external network. */
import { laggingHosts, type RouterContext } from '@photoncloud/machines/router/router-context';
import { routerMachine } from '@photoncloud/machines/router/router-machine';
import { routerKind } from '@photoncloud/machines/router/router-protocol';
import { defineActor } from '../kind/kind-definition.ts';

/** Names of the gateway hosts: the one that leads, and the other. */
function gatewaysOf({ external }: RouterContext) {
  const { gateways = [], active = null } = external?.way ?? {};
  return {
    active: gateways.find(({ index }) => index === active)?.name ?? null,
    standby: gateways.find(({ index }) => index !== active)?.name ?? null,
  };
}

export const routerDefinition = defineActor(routerKind, {
  chartVersion: 1,
  machine: routerMachine,
  status: (context: RouterContext) => ({
    snatAddress: context.external?.address ?? null,
    upstream: context.external?.way?.upstream ?? null,
    nextHops: context.hops,
    published: Object.values(context.published).map(({ section, key, isRealized, failure }) => ({
      section,
      key,
      isRealized,
      failure,
    })),
    ...gatewaysOf(context),
    lagging: laggingHosts(context),
  }),
  operatorOnly: ['active', 'standby', 'lagging'],
  ignored: [
    'quota.granted',
    'quota.refused',
    'ranges.told',
    'port.address',
    'port.lost',
    'external.granted',
    'external.refused',
    'external.changed',
    'external.confirm',
    'element.realized',
    'element.delayed',
    'element.lagging',
    'element.removed',
  ],
});
