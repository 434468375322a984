# What the rules of tenant-problems.nix share: facts of a tenant, and the usual kinds of problem. Paths are those of
# options, list positions included.
{ lib, addresses }:
let
  inherit (lib) concatMap elem filter imap0 mapAttrsToList optional;

  # Subnets of all networks, with path, network, vpc and the parsed CIDR; those that are none are left out.
  subnetsOf = tenantPath: tenant: concatMap
    (name:
      let network = tenant.networks.${name};
      in filter ({ range, ... }: range != null) (imap0
        (at: subnet: {
          path = "${tenantPath}.networks.${name}.subnets.${toString at}";
          network = name;
          inherit (network) vpc;
          inherit (subnet) cidr;
          range = addresses.parseCidr subnet.cidr;
          gateway = if subnet.gateway == null then
            (let range = addresses.parseCidr subnet.cidr; in addresses.defaultGateway range) else subnet.gateway;
        })
        network.subnets))
    (lib.attrNames tenant.networks);

  # Ports, and NICs of VMs, which are ports named <vm>.<nic>.
  portsOf = tenantPath: tenant:
    mapAttrsToList (name: port: port // { inherit name; path = "${tenantPath}.ports.${name}"; labels = port.labels; })
      tenant.ports
    ++ concatMap
      (vm: imap0
        (at: nic: nic // {
          name = "${vm}.${nic.name}";
          path = "${tenantPath}.vms.${vm}.nics.${toString at}";
        })
        tenant.vms.${vm}.nics)
      (lib.attrNames tenant.vms);

  indexed = imap0 (at: value: { inherit at value; });
in
rec {
  inherit indexed;

  factsOf = cfg: name: tenant:
    let path = "services.photoncloud.tenants.${name}";
    in {
      inherit name tenant;
      subnets = subnetsOf path tenant;
      ports = portsOf path tenant;
      # Every tenant has the VPC main and the security group default.
      vpcs = [ "main" ] ++ lib.attrNames tenant.vpcs;
      groups = [ "default" ] ++ lib.attrNames tenant.securityGroups;
      inherit (cfg) externalNetworks allowUserDataInStore;
      # Empty where the nodes are not declared: then hosts are not looked up.
      hosts = lib.attrNames cfg.cluster.nodes;
    };

  quotedList = names: if names == [ ] then "there is none" else "there are ${lib.concatStringsSep ", " names}";

  # `name` is not one of `known`; null names nothing.
  unknown = path: what: known: name:
    optional (name != null && !(elem name known)) "${path}: there is no ${what} ${name}; ${quotedList known}";

  # A host that is not among the declared nodes.
  unknownHost = path: { hosts, ... }: name: if hosts == [ ] then [ ] else unknown path "node" hosts name;

  textIf = path: text: optional (text != null) "${path}: ${text}";

  # For each pair of equal keys, the later one's path and the earlier one's. `items` are { path; key; }.
  twice = say: items: concatMap
    ({ at, value }:
      let earlier = filter (one: one.key == value.key) (lib.take at items);
      in optional (value.key != null && earlier != [ ]) "${value.path}: ${say value (lib.head earlier)}")
    (indexed items);

  # Fields of which exactly one is to be given.
  exactlyOne = path: value: names:
    let given = filter (name: value.${name} or null != null) names;
    in optional (lib.length given != 1)
      ("${path}: takes exactly one of ${lib.concatStringsSep ", " names}; "
        + (if given == [ ] then "none is given" else "${lib.concatStringsSep " and " given} are given"));

  # { from; to; } of addresses, inside a CIDR whose first `head` addresses and last one are nobody's.
  poolProblems = head: path: cidr: pools:
    let
      range = addresses.parseCidr cidr;
      number = addresses.parseAddress;
      inside = address: addresses.contains range (number address);
      first = range.base + head;
      last = addresses.lastOf range - 1;
      usable = "${addresses.formatAddress first} to ${addresses.formatAddress last}";
      one = { at, value }:
        let here = "${path}.${toString at}"; text = "${value.from} to ${value.to}";
        in if number value.from > number value.to then
          [ "${here}: ${text} ends before it begins; exchange the two addresses" ]
        else if !(inside value.from && inside value.to) then
          [ "${here}: ${text} is not within ${cidr}; use ${usable}" ]
        else if number value.from < first || number value.to > last then
          [ "${here}: ${text} has reserved addresses of ${cidr}; use ${usable}" ]
        else
          let
            overlaps = other:
              number other.value.from <= number value.to && number value.from <= number other.value.to;
            earlier = filter overlaps (lib.take at (indexed pools));
          in
          optional (earlier != [ ]) "${here}: ${text} overlaps pool ${toString (lib.head earlier).at}; merge the two";
    in
    if range == null then [ ] else concatMap one (indexed pools);
}
