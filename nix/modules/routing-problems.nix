# What leads out of a VPC: routers, external networks and addresses, peerings. An external network that is declared
# elsewhere is not known here; so those names are looked up only where Nix declares any.
{ lib, addresses, rules }:
let
  inherit (lib) concatLists concatMap elem filter mapAttrsToList optional;
  inherit (rules) exactlyOne indexed poolProblems textIf twice unknown;

  externalReference = path: { name, externalNetworks, ... }: network:
    let granted = externalNetworks.${network}.tenants or null;
    in if network == null || externalNetworks == { } then [ ]
    else if !(externalNetworks ? ${network}) then
      unknown path "external network" (lib.attrNames externalNetworks) network
    else optional (granted != null && !(elem name granted)) "${path}: ${network} does not serve tenant ${name}";

  externalAddress = path: { externalNetworks, ... }: network: address:
    let range = addresses.parseCidr externalNetworks.${network}.cidr;
    in optional
      (address != null && externalNetworks ? ${network} && range != null
        && !(addresses.contains range (addresses.parseAddress address)))
      "${path}: ${address} is not within ${externalNetworks.${network}.cidr} of ${network}";

  portNames = { ports, ... }: map (port: port.name) ports;

  routeProblems = path: facts: router: { at, value }:
    let
      here = "${path}.routes.${toString at}";
      inVpc = filter (subnet: subnet.vpc == router.vpc) facts.subnets;
      hop = addresses.parseAddress value.via.address;
    in
    textIf "${here}.destination" (addresses.canonicalProblem value.destination)
    ++ (if !(builtins.isAttrs value.via) then [ ] else
      exactlyOne "${here}.via" value.via [ "address" "port" ]
      ++ unknown "${here}.via.port" "port" (portNames facts) value.via.port
      ++ optional (value.via.address != null && !(lib.any (subnet: addresses.contains subnet.range hop) inVpc))
        "${here}.via.address: ${toString value.via.address} is in no subnet of VPC ${router.vpc}");

  routerProblems = tenantPath: facts: name: router:
    let path = "${tenantPath}.routers.${name}"; out = router.external;
    in
    unknown "${path}.vpc" "VPC" facts.vpcs router.vpc
    ++ concatMap (routeProblems path facts router) (indexed router.routes)
    ++ twice (one: _: "${one.key} is the destination of an earlier route, too")
      (map ({ at, value }: { path = "${path}.routes.${toString at}.destination"; key = value.destination; })
        (indexed router.routes))
    ++ (if out == null then [ ] else
      externalReference "${path}.external.network" facts out.network
      ++ externalAddress "${path}.external.address" facts out.network out.address
      ++ optional (!out.snat && out.address != null)
        "${path}.external.address: a router without snat has no address; leave it out, or set snat");

  addressProblems = tenantPath: facts: name: address:
    let path = "${tenantPath}.externalAddresses.${name}"; to = address.target;
    in
    externalReference "${path}.network" facts address.network
    ++ externalAddress "${path}.address" facts address.network address.address
    ++ (if to == null then [ ] else
      exactlyOne "${path}.target" to [ "port" "serviceIp" ]
      ++ unknown "${path}.target.port" "port" (portNames facts) to.port
      ++ unknown "${path}.target.serviceIp" "service IP" (lib.attrNames facts.tenant.serviceIPs) to.serviceIp);

  peered = tenantPath: facts: name: { vpcs, ... }:
    let
      path = "${tenantPath}.peerings.${name}.vpcs";
      rangesOf = vpc: filter (subnet: subnet.vpc == vpc) facts.subnets;
      first = lib.head vpcs;
      second = lib.last vpcs;
      clashes = concatMap
        (one: map
          (other: "${path}: ${one.cidr} of ${first} overlaps ${other.cidr} of ${second}; renumber one of the two")
          (filter (other: addresses.overlap one.range other.range) (rangesOf second)))
        (rangesOf first);
    in
    concatMap ({ at, value }: unknown "${path}.${toString at}" "VPC" facts.vpcs value) (indexed vpcs)
    ++ (if first == second then [ "${path}: ${first} is named twice; name another VPC" ] else clashes);

  externalNetworkProblems = cfg: name: network:
    let
      path = "services.photoncloud.externalNetworks.${name}";
      wrong = addresses.cidrProblem 30 network.cidr;
      range = addresses.parseCidr network.cidr;
      gateway = addresses.parseAddress network.gateway;
      hosts = lib.attrNames cfg.cluster.nodes;
    in
    textIf "${path}.cidr" wrong
    ++ (if wrong != null then [ ] else
      optional
        (network.gateway != null && !(gateway > range.base && gateway < addresses.lastOf range))
        "${path}.gateway: ${network.gateway} is not a usable address of ${network.cidr}"
      ++ poolProblems 1 "${path}.pools" network.cidr network.pools)
    ++ concatMap
      ({ at, value }: rules.unknownHost "${path}.hosts.${toString at}" { inherit hosts; } value)
      (indexed network.hosts);
in
{
  problems = path: facts:
    concatLists (mapAttrsToList (routerProblems path facts) facts.tenant.routers)
    ++ concatLists (mapAttrsToList (addressProblems path facts) facts.tenant.externalAddresses)
    ++ twice (one: earlier: "${one.key} is that of ${earlier.path}, too")
      (mapAttrsToList
        (name: address: {
          path = "${path}.externalAddresses.${name}.address";
          key = if address.address == null then null else "${address.address} of ${address.network}";
        })
        facts.tenant.externalAddresses)
    ++ concatLists (mapAttrsToList (peered path facts) facts.tenant.peerings);

  externalProblems = cfg: concatLists (mapAttrsToList (externalNetworkProblems cfg) cfg.externalNetworks);
}
