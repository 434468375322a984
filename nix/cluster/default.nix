# The six-node cluster as plain data, for Nix: cluster.json as it is read by the harness (cluster-tests/six-node), and for
# each node the settings of nix/modules/photoncloud.nix. Needs neither nixpkgs nor anything that was built.
let
  cluster = builtins.fromJSON (builtins.readFile ./cluster.json);
  programOf = role: cluster.roles.${role}.program;
  # Redis with its Sentinel is no program of photoncloud: a host gets both from the modules of NixOS.
  programsOf = node: builtins.filter (program: program != "redis-sentinel") (map programOf node.roles);
  once = names: builtins.attrNames (builtins.listToAttrs (map (name: { inherit name; value = true; }) names));
in
cluster // {
  configurations = builtins.mapAttrs (name: node: { services.photoncloud.roles = once (programsOf node); }) cluster.nodes;
}
