/**
 * A peering as the VPCs and their hosts have it: the element of section `peerings`, keyed by the id of the peering. The
 * peering writes it, each VPC keeps it and tells those hosts of it that are to have the link.
 */
import { z } from 'zod';
import type { ValueOf } from './kind.ts';

export const peeringsSection = 'peerings';

/**
 * A CIDR that a VPC routes, and the actor id of whose it is: a network, a peering for those of another VPC, or a router
 * for that of the external network.
 */
export const rangeSchema = z.object({ cidr: z.string(), by: z.string() });
export type Range = ValueOf<typeof rangeSchema>;

/** What the peering tells a VPC of the other one. */
export const peeringElement = z.object({
  /** Actor id of the other VPC. */
  peer: z.string(),
  /** CIDRs of its networks. */
  cidrs: z.array(z.string()),
  /** What it reaches over peerings of its own and through its router, which may not be claimed here either. */
  taken: z.array(rangeSchema),
  /** What the hosts of both VPCs carry. */
  mtu: z.int(),
  /** Names of the hosts that are to have the link. */
  hosts: z.array(z.string()),
});
export type PeeringElement = ValueOf<typeof peeringElement>;

/** What a host is told. */
export const peeringHostElement = z.strictObject({
  peer: z.string(),
  cidrs: z.array(z.string()),
  /** CIDRs of the VPC itself: only these are reached over the link. */
  own: z.array(z.string()),
  mtu: z.int(),
});
export type PeeringHostElement = ValueOf<typeof peeringHostElement>;
