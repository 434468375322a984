# Security groups and address sets: what a rule may say, and what it names.
{ lib, addresses, rules }:
let
  inherit (lib) concatLists concatMap elem filter mapAttrsToList optional;
  inherit (rules) exactlyOne indexed textIf unknown;

  withPorts = [ "tcp" "udp" "sctp" 6 17 132 ];
  kinds = [ "cidr" "group" "addressSet" "serviceIp" ];

  remoteProblems = path: { tenant, groups, ... }: remote:
    exactlyOne path remote kinds
    ++ textIf "${path}.cidr" (if remote.cidr == null then null else addresses.canonicalProblem remote.cidr)
    ++ unknown "${path}.group" "security group" groups remote.group
    ++ unknown "${path}.addressSet" "address set" (lib.attrNames tenant.addressSets) remote.addressSet
    ++ unknown "${path}.serviceIp" "service IP" (lib.attrNames tenant.serviceIPs) remote.serviceIp;

  ruleProblems = path: facts: { at, value }:
    let here = "${path}.rules.${toString at}";
    in
    optional (value.ports != null && !(elem value.protocol withPorts))
      "${here}.ports: protocol ${toString value.protocol} has no ports; name tcp, udp or sctp, or leave them out"
    ++ optional (value.ports != null && value.ports.from > value.ports.to)
      "${here}.ports: ${toString value.ports.from} to ${toString value.ports.to} ends before it begins"
    ++ optional (value.icmp != null && !(elem value.protocol [ "icmp" 1 ]))
      "${here}.icmp: only protocol icmp has a type; this rule has ${toString value.protocol}"
    ++ (if value.remote == null then [ ] else remoteProblems "${here}.remote" facts value.remote);

  groupProblems = tenantPath: facts: name: group:
    concatMap (ruleProblems "${tenantPath}.securityGroups.${name}" facts) (indexed group.rules);

  setProblems = tenantPath: { vpcs, ... }: name: set:
    let
      path = "${tenantPath}.addressSets.${name}";
      parsed = map ({ at, value }: { inherit at value; range = addresses.parseCidr value; }) (indexed set.cidrs);
      overlaps = one: filter
        (other: other.at < one.at && other.range != null && addresses.overlap one.range other.range)
        parsed;
    in
    unknown "${path}.vpc" "VPC" vpcs set.vpc
    ++ concatMap
      (one:
        let here = "${path}.cidrs.${toString one.at}"; wrong = addresses.canonicalProblem one.value;
        in if wrong != null then [ "${here}: ${wrong}" ]
        else map (other: "${here}: ${one.value} overlaps ${other.value} of the same list; keep the larger one")
          (overlaps one))
      parsed;
in
{
  problems = path: facts:
    concatLists (mapAttrsToList (groupProblems path facts) facts.tenant.securityGroups)
    ++ concatLists (mapAttrsToList (setProblems path facts) facts.tenant.addressSets);
}
