# Networks: CIDRs, gateways, pools, routes of DHCP; CIDRs may not overlap within a VPC, and may across VPCs and tenants.
{ lib, addresses, rules }:
let
  inherit (lib) concatLists concatMap filter mapAttrsToList optional;
  inherit (rules) indexed poolProblems textIf twice unknown;

  gatewayProblems = path: range: subnet:
    let
      gateway = addresses.parseAddress subnet.gateway;
      usable = gateway > range.base && gateway < addresses.lastOf range;
    in
    optional (subnet.gateway != null && !usable)
      "${path}.gateway: the gateway ${subnet.gateway} is not a usable address of ${subnet.cidr}";

  subnetProblems = path: { at, value }:
    let
      here = "${path}.subnets.${toString at}";
      problem = addresses.cidrProblem addresses.maxPrefix value.cidr;
    in
    if problem != null then [ "${here}.cidr: ${problem}" ]
    else
      gatewayProblems here (addresses.parseCidr value.cidr) value
      ++ poolProblems addresses.reservedHead "${here}.pools" value.cidr
        (if value.pools == null then [ ] else value.pools);

  routeProblems = path: subnets: { at, value }:
    let
      here = "${path}.dhcp.routes.${toString at}";
      ranges = filter (range: range != null) (map ({ cidr, ... }: addresses.parseCidr cidr) subnets);
      via = addresses.parseAddress value.via;
    in
    textIf "${here}.destination" (addresses.canonicalProblem value.destination)
    ++ optional (!(lib.any (range: addresses.contains range via) ranges))
      "${here}.via: ${value.via} is in no subnet of the network, so no guest reaches it";

  networkProblems = tenantPath: { vpcs, ... }: name: network:
    let path = "${tenantPath}.networks.${name}";
    in
    unknown "${path}.vpc" "VPC" vpcs network.vpc
    ++ concatMap (subnetProblems path) (indexed network.subnets)
    ++ concatMap (routeProblems path network.subnets) (indexed network.dhcp.routes)
    ++ twice (one: _: "${one.key} is the name of an earlier subnet, too")
      (map ({ at, value }: { path = "${path}.subnets.${toString at}.name"; key = value.name; })
        (indexed network.subnets));

  overlapProblems = subnets: concatMap
    ({ at, value }: concatMap
      (earlier: optional (earlier.vpc == value.vpc && addresses.overlap earlier.range value.range)
        "${value.path}.cidr: ${value.cidr} overlaps ${earlier.cidr} (${earlier.path}) in VPC ${value.vpc}")
      (lib.take at subnets))
    (indexed subnets);
in
{
  problems = path: facts:
    concatLists (mapAttrsToList (networkProblems path facts) facts.tenant.networks)
    ++ overlapProblems facts.subnets;
}
