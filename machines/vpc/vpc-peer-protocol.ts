/**
 * Messages between a VPC and its peerings: what the VPC has (hosts, CIDRs, later changes of both), which of its ports
 * have which security groups, and where its service IPs lead. What the peering tells the VPC in return are elements:
 * one of section `peerings`, and the service IPs of the other VPC in section `service-ips`.
 */
import { z } from 'zod';
import { message } from '../values/kind.ts';
import { rangeSchema } from '../values/peering-elements.ts';
import { serviceIpElement } from '../values/service-elements.ts';
import { hostFactsSchema } from '../values/wiring.ts';

export const reachFollow = message(
  'reach.follow',
  'A peering requests the hosts and CIDRs of the VPC, and every later change of them; repeated, it is answered again.',
  {},
);
export const reachUnfollow = message(
  'reach.unfollow',
  'The peering follows the VPC no longer. Only a VPC that does not exist answers, with that.',
  {},
);
export const reachTold = message('reach.told', 'What a VPC has now, whole.', {
  vpc: z.string(),
  /** Without it the lists are empty. */
  exists: z.boolean(),
  /** Hosts with a network of the VPC, not those that it has only because of a peering. */
  hosts: z.array(hostFactsSchema),
  /** CIDRs of its networks, and those that it reaches over other peerings or through its router. */
  ranges: z.array(rangeSchema),
});

export const peerMembers = message(
  'peer.members',
  'Which addresses of a VPC belong to ports with security groups; the peering passes it on to the other VPC.',
  {
    /** True: nothing but `put`, to which further messages may add. False: only what has changed. */
    whole: z.boolean(),
    /** Address -> ids of the groups of its port. */
    put: z.record(z.string(), z.array(z.string())),
    /** Addresses without groups now. */
    removed: z.array(z.string()),
  },
);

export const peerService = message(
  'peer.service',
  'Where a service IP of a VPC leads now; the peering publishes it on the hosts of the other VPC.',
  {
    /** Actor id. */
    serviceIp: z.string(),
    /** Null: nowhere has it any more. */
    element: serviceIpElement.nullable(),
  },
);
