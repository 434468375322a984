/**
 * What hosts are told of a VPC's way out: the elements of sections `static-routes`, `gateway` and `external-addresses`,
 * and what a gateway host is asked about its uplink. The charts of routers, external addresses and external networks
 * write them, actors/dataplane/router makes them. There are no kernel names here, except that of the uplink, which
 * belongs to the operator of the host.
 */
import { z } from 'zod';
import { canonicalProblem, cidrOf, contains, addressOf, parseAddress } from './addresses.ts';
import type { ValueOf } from './kind.ts';
import { hostFactsSchema, ownerTokenSchema } from './wiring.ts';

const address = z.string().refine((text) => parseAddress(text) !== undefined, 'must be an IPv4 address');
const cidr = z.string().refine((text) => canonicalProblem(text) === undefined, 'must be a CIDR without host bits');

/** Name of an interface that the operator of a gateway host gives to an external network. */
export const interfaceNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/, 'must be 1 to 15 letters, digits, dots, hyphens or underscores');

/** Bytes of a packet that an external network carries; IPv4 demands 576, below 1280 hardly anything works. */
export const externalMtuSchema = z.int().min(1280).max(9216);

export const routesSection = 'static-routes';
/** Destination of the route to whatever no other route leads to. */
export const everywhere = '0.0.0.0/0';

/** An element of section `static-routes`, owned by a router. Key: the destination, a canonical CIDR. */
export const staticRouteElement = z.strictObject({
  /**
   * Address of a port of the VPC, the next hop: every host follows it to where it is. Null: packets to the destination
   * are answered as unreachable.
   */
  via: address.nullable(),
});
export type StaticRouteElement = ValueOf<typeof staticRouteElement>;

export const gatewaySection = 'gateway';
/** The only key of section `gateway`. */
export const gatewayKey = 'default';

/** The element of section `gateway`, owned by a router that has an external network. */
export const gatewayElement = z.strictObject({
  /** Id of the external network. */
  network: z.string(),
  /** Of the external network: external addresses are in it. */
  cidr,
  /** Next hop of everything that is not in `cidr`; null: only `cidr` is reached. */
  upstream: address.nullable(),
  /** Uplink of the external network on its gateway hosts. */
  interface: interfaceNameSchema,
  mtu: externalMtuSchema,
  /** Hosts of the external network, the preferred one first. With two of them the active one needs a permit. */
  gateways: z.array(hostFactsSchema).min(1).max(2),
  /** Index (HostFacts) of the one of `gateways` through which everything goes; null: of none, nothing gets out. */
  active: z.int().min(1).max(254).nullable(),
  /** Source of whatever leaves without an external address of its own; null: that does not leave. */
  snat: address.nullable(),
});
export type GatewayElement = ValueOf<typeof gatewayElement>;

/**
 * An element of section `external-addresses`, owned by an external address with a target. Key: the external address.
 * It requires the element `default` of section `gateway` with the same `network`.
 */
export const externalAddressElement = z.strictObject({
  /** Address in the VPC, of a port or of a service IP. */
  inside: address,
});
export type ExternalAddressElement = ValueOf<typeof externalAddressElement>;

/** What effect `gateway.check` looks for on a gateway host. */
export const uplinkSpecSchema = z.object({ interface: interfaceNameSchema, mtu: externalMtuSchema });
export type UplinkSpec = ValueOf<typeof uplinkSpecSchema>;

/** What it read back of the interface. */
export const uplinkProofSchema = z.object({ ifindex: z.number(), mtu: z.number(), mac: z.string() });
export type UplinkProof = ValueOf<typeof uplinkProofSchema>;

/**
 * What effect `gateway.watch` listens to: the other gateway host on the underlay. It ends, with the new `heard`, when
 * that differs from the one given.
 */
export const gatewayPeerSchema = z.object({ peer: hostFactsSchema, heard: z.boolean() });
export type GatewayPeer = ValueOf<typeof gatewayPeerSchema>;

/**
 * How long a gateway host goes on forwarding, and answering ARP, after its worker has last been known to the store. One
 * of two gateway hosts does either only while it has the permit.
 */
export const gatewayPermitMs = 1_300;
/** The same after it has not heard the other gateway host, which may not hear it either. */
export const gatewayDoubtMs = 500;
/** From the last answer of the other gateway host to the verdict that it is silent: so long at least. */
export const gatewaySilenceMs = 600;

/** An external network on one of its gateway hosts, as effects `gateway.check` and `gateway.watch` are asked. */
export const gatewayAskSchema = z.object({
  owner: ownerTokenSchema,
  /** Id of the external network. */
  network: z.string(),
  uplink: uplinkSpecSchema,
  /**
   * This host may forward for the external network. False ends its permit: `gateway.check` is done only once the kernel
   * forwards nothing for this external network any more. With true, `gateway.watch` renews the permit.
   */
  leads: z.boolean(),
});
export type GatewayAsk = ValueOf<typeof gatewayAskSchema>;

/** Why the fields of a gateway do not fit each other, as path and reason; undefined when they do. */
export function gatewayProblem(
  element: GatewayElement,
): { readonly path: string; readonly message: string } | undefined {
  const { gateways, active, upstream, snat } = element;
  const inside = (one: string) => contains(cidrOf(element.cidr), addressOf(one));
  if (new Set(gateways.map(({ index }) => index)).size !== gateways.length)
    return { path: 'gateways', message: 'a host stands in gateways twice' };
  if (active !== null && !gateways.some(({ index }) => index === active))
    return { path: 'active', message: `host ${active} is none of the gateways` };
  if (upstream !== null && !inside(upstream))
    return { path: 'upstream', message: `${upstream} is not in ${element.cidr}` };
  if (snat !== null && (!inside(snat) || snat === upstream))
    return { path: 'snat', message: `${snat} is not an address of ${element.cidr} that is free` };
  return undefined;
}
