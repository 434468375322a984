/**
 * What this process was told of the security groups of a VPC on this host, for the judgement of running flows: rules,
 * members, address sets and service IPs, each once its section was made whole. After a restart of the worker nothing is
 * known until the sections are made again. Never the source of a proof: those read the kernel.
 * Written by the sections, read by flow-review.ts; kept beside the NamespaceLink and gone with it.
 */
import type { GroupRule } from '@photoncloud/machines/values/group-rules';
import type { ServiceIpElement } from '@photoncloud/machines/values/service-elements';
import type { NamespaceLink } from '../namespace-link.ts';

export interface ToldPolicy {
  /** Group id -> its rules. */
  rules: Map<string, readonly GroupRule[]> | undefined;
  /** Address -> ids of the groups of its port. */
  members: Map<string, readonly string[]> | undefined;
  /** Address set id -> its CIDRs. */
  addressSets: Map<string, readonly string[]> | undefined;
  /** Service IP id -> where it leads. */
  serviceIps: Map<string, ServiceIpElement> | undefined;
  /**
   * Flows were not reviewed since something was taken away. At first true, for what an earlier process took away,
   * except in a namespace that is new.
   */
  unreviewed: boolean;
  /** The namespace had the firewall of an older release, so ports without groups may have flows. */
  inherited: boolean;
}

const policies = new WeakMap<NamespaceLink, ToldPolicy>();

/** Its namespace was made just now, so nothing was taken away before: no review is owed. */
export function startsWithoutFlows(link: NamespaceLink): void {
  toldPolicy(link).unreviewed = false;
}

export function toldPolicy(link: NamespaceLink): ToldPolicy {
  const known = policies.get(link);
  if (known !== undefined) return known;
  const policy: ToldPolicy = {
    rules: undefined,
    members: undefined,
    addressSets: undefined,
    serviceIps: undefined,
    unreviewed: true,
    inherited: false,
  };
  policies.set(link, policy);
  return policy;
}
