# Ports, NICs of VMs, service IPs: they name a network and may ask for an address and a MAC in it.
{ lib, addresses, rules }:
let
  inherit (lib) concatMap elem filter mapAttrsToList optional;
  inherit (rules) exactlyOne indexed textIf twice unknown;

  # Why nobody can have the address in the network.
  addressProblem = { subnets, ... }: network: text:
    let
      own = filter (subnet: subnet.network == network) subnets;
      address = addresses.parseAddress text;
      subnet = lib.head (filter (one: addresses.contains one.range address) own);
    in
    if text == null || own == [ ] then null
    else if !(lib.any (one: addresses.contains one.range address) own) then
      "${text} is in no subnet of network ${network} (${lib.concatMapStringsSep ", " (one: one.cidr) own})"
    else if text == subnet.gateway then "${text} is the gateway of ${subnet.cidr}"
    else if addresses.isReserved subnet.range address then
      "${text} is reserved in ${subnet.cidr}: its first five addresses and the last are nobody's"
    else null;

  pairProblems = { subnets, ... }: port: { at, value }:
    let
      here = "${port.path}.addressPairs.${toString at}";
      range = addresses.parseCidr value.cidr;
      own = filter (subnet: subnet.network == port.network) subnets;
      fits = lib.any (one: addresses.contains one.range range.base) own;
    in
    if range == null then optional (addresses.parseAddress value.cidr == null)
      "${here}.cidr: ${value.cidr} is neither an address nor a CIDR"
    else optional (own != [ ] && !fits) "${here}.cidr: ${value.cidr} is in no subnet of network ${port.network}";

  portProblems = facts: port:
    unknown "${port.path}.network" "network" (lib.attrNames facts.tenant.networks) port.network
    ++ rules.unknownHost "${port.path}.host" facts (port.host or null)
    ++ textIf "${port.path}.address" (addressProblem facts port.network port.address)
    ++ textIf "${port.path}.mac" (if port.mac == null then null else addresses.macProblem port.mac)
    ++ concatMap
      ({ at, value }: unknown "${port.path}.securityGroups.${toString at}" "security group" facts.groups value)
      (indexed (if port.securityGroups == null then [ ] else port.securityGroups))
    ++ concatMap (pairProblems facts port) (indexed port.addressPairs);

  serviceProblems = path: facts: name: service:
    let
      here = "${path}.serviceIPs.${name}";
      isServing = port: "${port.protocol} ${toString port.port}";
    in
    unknown "${here}.network" "network" (lib.attrNames facts.tenant.networks) service.network
    ++ textIf "${here}.address" (addressProblem facts service.network service.address)
    ++ exactlyOne "${here}.backends" service.backends [ "selector" "ports" ]
    ++ twice (one: _: "${one.key} is already served by an earlier port of it")
      (map ({ at, value }: { path = "${here}.ports.${toString at}"; key = isServing value; }) (indexed service.ports))
    ++ optional
      (service.healthCheck != null && service.healthCheck.timeoutSeconds > service.healthCheck.intervalSeconds)
      "${here}.healthCheck.timeoutSeconds: is more than the interval; check less often";

  services = path: { tenant, ... }: mapAttrsToList
    (name: service: { path = "${path}.serviceIPs.${name}"; inherit (service) network address; mac = null; })
    tenant.serviceIPs;

  # Addresses are unique in a VPC because its networks do not overlap; so are those of one network here.
  within = field: holder: {
    path = "${holder.path}.${field}";
    key = if holder.${field} == null then null else "${holder.${field}} in network ${holder.network}";
  };
  sameAgain = one: earlier: "${one.key} is that of ${earlier.path}, too";
in
{
  problems = path: facts:
    concatMap (portProblems facts) facts.ports
    ++ lib.concatLists (mapAttrsToList (serviceProblems path facts) facts.tenant.serviceIPs)
    ++ twice sameAgain (map (within "address") (facts.ports ++ services path facts))
    ++ twice sameAgain (map (within "mac") facts.ports);
}
