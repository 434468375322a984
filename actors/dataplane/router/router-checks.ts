/**
 * Checks of the elements of sections `static-routes`, `gateway` and `external-addresses`, at the door of the kernel
 * (docs/threats.md#t4). Called by the sections and by the simulation's. Promise: nothing is made of a section with one
 * bad element; the defeat `spec_invalid` names the field.
 */
import {
  externalAddressElement,
  gatewayElement,
  gatewayKey,
  gatewayProblem,
  staticRouteElement,
  gatewayAskSchema,
  gatewayPeerSchema,
  type GatewayAsk,
  type GatewayElement,
  type GatewayPeer,
} from '@photoncloud/machines/values/router-elements';
import { canonicalProblem, cidrOf, overlap } from '@photoncloud/machines/values/addresses';
import type { Elements } from '@photoncloud/machines/values/wiring';
import type { KernelNames } from '../kernel-names.ts';
import { checkHost, checkIdOf, checkOwner, isAddress, must, parsed } from '../wiring-checks.ts';

/** Destination -> next hop, null for none. */
export type StaticRoutes = ReadonlyMap<string, string | null>;

/** The overlay and the way to the gateway have it. */
const reserved = cidrOf('169.254.0.0/16');

/** @throws defeat `spec_invalid` */
export function staticRoutesIn(elements: Elements): StaticRoutes {
  return new Map(
    Object.entries(elements).map(([destination, element]) => {
      const path = `static-routes.${destination}`;
      must(canonicalProblem(destination) === undefined, path, destination);
      const cidr = cidrOf(destination);
      must(cidr.prefix === 0 || !overlap(cidr, reserved), path, destination);
      return [destination, parsed(staticRouteElement, path, element).via] as const;
    }),
  );
}

/** @returns undefined when the VPC has no way out @throws defeat `spec_invalid` */
export function gatewayIn(elements: Elements): GatewayElement | undefined {
  const { [gatewayKey]: element, ...others } = elements;
  must(Object.keys(others).length === 0, 'gateway', Object.keys(others)[0]);
  if (element === undefined) return undefined;
  const gateway = parsed(gatewayElement, 'gateway.default', element);
  checkIdOf('external-network', 'gateway.default.network', gateway.network);
  gateway.gateways.forEach((host, index) => checkHost(`gateway.default.gateways.${index}`, host));
  const problem = gatewayProblem(gateway);
  must(problem === undefined, `gateway.default.${problem?.path}`, problem?.message);
  return gateway;
}

/** External address -> address in the VPC. */
export type ExternalAddresses = ReadonlyMap<string, string>;

/** @throws defeat `spec_invalid` */
export function externalAddressesIn(elements: Elements): ExternalAddresses {
  return new Map(
    Object.entries(elements).map(([external, element]) => {
      const path = `external-addresses.${external}`;
      must(isAddress(external), path, external);
      return [external, parsed(externalAddressElement, path, element).inside] as const;
    }),
  );
}

/** Its interface is one of the operator's, not one that we have made. @throws defeat `spec_invalid` */
export function checkGatewayAsk(names: KernelNames, ask: GatewayAsk & { readonly peer?: GatewayPeer | null }): void {
  parsed(gatewayAskSchema, 'ask', { ...ask });
  checkOwner(ask.owner);
  checkIdOf('external-network', 'network', ask.network);
  checkUplinkName(names, 'uplink.interface', ask.uplink.interface);
  const { peer = null } = ask;
  if (peer !== null) checkHost('peer', parsed(gatewayPeerSchema, 'peer', peer).peer);
}

function checkUplinkName(names: KernelNames, path: string, uplink: string): void {
  must(uplink !== 'lo' && !names.isTap(uplink) && !names.isBridge(uplink), path, uplink);
}
