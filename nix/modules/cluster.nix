# services.photoncloud.cluster: which nodes there are and what they are for, declared once for hosts, VM tests and the
# Node harness; and services.photoncloud.node: which of them this host is. Needs no packages.
{ config, lib, ... }:
let
  inherit (lib) concatMap elem filter mapAttrsToList mkOption optional types;
  addresses = import ../addresses.nix;
  cfg = config.services.photoncloud;
  cluster = cfg.cluster;
  path = "services.photoncloud.cluster";
  nodeName = types.strMatching "[a-z]([a-z0-9-]{0,38}[a-z0-9])?" // { description = "name"; };

  programOf = role: cluster.roles.${role}.program or null;
  holdersOf = programs: filter (name: lib.any (role: elem (programOf role) programs) cluster.nodes.${name}.roles)
    (lib.attrNames cluster.nodes);

  underlayProblem = addresses.cidrProblem 30 cluster.underlay;
  range = addresses.parseCidr cluster.underlay;

  nodeProblems = name: node:
    let
      here = "${path}.nodes.${name}";
      number = addresses.parseAddress node.address;
      others = filter (other: other < name && cluster.nodes.${other}.address == node.address)
        (lib.attrNames cluster.nodes);
      isOutside = number == range.base || number == addresses.lastOf range || !(addresses.contains range number);
    in
    concatMap
      (role: optional (!(cluster.roles ? ${role}))
        "${here}.roles: there is no role ${role}; roles are ${lib.concatStringsSep ", " (lib.attrNames cluster.roles)}")
      node.roles
    ++ optional (node.roles == [ ]) "${here}.roles: a node has a role; name one"
    ++ map (other: "${here}.address: ${node.address} is that of ${other}, too") others
    ++ optional (cluster.underlay != null && underlayProblem == null && number != null && isOutside)
      "${here}.address: ${node.address} is no address of a host in ${cluster.underlay}"
    ++ optional (number == null) "${here}.address: ${node.address} is no IPv4 address";

  roleProblems = name: role: concatMap
    (needed: optional (!(cluster.roles ? ${needed})) "${path}.roles.${name}.needs: there is no role ${needed}")
    role.needs
  ++ optional (!(lib.any (node: elem name node.roles) (lib.attrValues cluster.nodes)))
    "${path}.roles.${name}: no node has this role; give it to one, or take it out";

  countProblems =
    let
      sentinels = lib.length (holdersOf [ "redis-sentinel" ]);
      stores = lib.length (holdersOf [ "store" ]);
    in
    optional (sentinels > 0 && !(lib.elem sentinels [ 3 5 7 ]))
      "${path}.nodes: ${toString sentinels} nodes hold the store with its Sentinels; a quorum needs 3, 5 or 7"
    ++ optional (sentinels > 0 && stores > 0)
      "${path}.nodes: some nodes run the store alone, others with a Sentinel; it is the one or the other"
    ++ optional (stores > 1) "${path}.nodes: ${toString stores} nodes run the store of its own; one does"
    ++ optional (sentinels == 0 && stores == 0) "${path}.nodes: no node holds the store"
    ++ map (program: "${path}.nodes: no node is a ${program}")
      (filter (program: holdersOf [ program ] == [ ]) [ "controller" "worker" ]);

  ofCluster =
    optional (cluster.underlay != null && underlayProblem != null) "${path}.underlay: ${underlayProblem}"
    ++ lib.concatLists (mapAttrsToList nodeProblems cluster.nodes)
    ++ lib.concatLists (mapAttrsToList roleProblems cluster.roles)
    ++ countProblems;
in
{
  options.services.photoncloud = {
    node = mkOption {
      type = types.nullOr nodeName;
      default = null;
      example = "node04";
      description = ''
        Which node of services.photoncloud.cluster this host is; its roles are then enabled here. Null: the host enables
        what it runs by itself.'';
    };
    cluster = {
      name = mkOption {
        type = types.strMatching "[a-z][a-z0-9]{0,11}" // { description = "1 to 12 small letters and digits"; };
        default = "photoncloud";
        example = "six";
        description = "Name of the cluster, as given to photon init.";
      };
      underlay = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "192.0.2.0/24";
        description = "The network that connects the nodes; null: their addresses are not checked against one.";
      };
      roles = mkOption {
        default = {
          store = { program = "store"; };
          controller = { program = "controller"; needs = [ "store" ]; };
          worker = { program = "worker"; needs = [ "controller" ]; };
        };
        example = { gateway = { program = "worker"; needs = [ "controller" ]; }; };
        description = "Roles that nodes may have.";
        type = types.attrsOf (types.submodule {
          options = {
            program = mkOption {
              type = types.enum [ "redis-sentinel" "store" "controller" "worker" ];
              example = "worker";
              description = ''
                What a node with this role runs. store is a Redis alone; redis-sentinel one that has replicas, or is one,
                on three, five or seven nodes, with a Sentinel beside each.'';
            };
            needs = mkOption {
              type = types.listOf nodeName;
              default = [ ];
              example = [ "controller" ];
              description = "Roles that must be ready before it, wherever they are.";
            };
          };
        });
      };
      nodes = mkOption {
        default = { };
        example = { node01 = { address = "192.0.2.1"; roles = [ "store" "controller" ]; }; };
        description = "Nodes by name.";
        type = types.attrsOf (types.submodule {
          options = {
            address = mkOption {
              type = types.str;
              example = "192.0.2.1";
              description = "Address on the underlay, under which other nodes reach it.";
            };
            roles = mkOption {
              type = types.listOf nodeName;
              example = [ "worker" ];
              description = "What it is for.";
            };
            uplink = mkOption {
              type = types.nullOr types.str;
              default = null;
              example = "eth1";
              description = "Interface to the network outside; of gateways.";
            };
          };
        });
      };
    };
  };

  config.services.photoncloud = {
    problems = (if cluster.nodes == { } then [ ] else ofCluster)
      ++ optional (cfg.node != null && !(cluster.nodes ? ${cfg.node}))
        "services.photoncloud.node: the cluster declares no node ${toString cfg.node}";
  };
}
