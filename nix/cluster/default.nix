# The six-node cluster, declared once: cluster.json has its nodes and their roles (the harness reads it, too:
# cluster-tests/six-node), tenants.nix what operator and tenants have. Hosts, VM tests and flake outputs take it from
# here. Plain data: needs neither nixpkgs nor anything that was built.
let
  declared = builtins.fromJSON (builtins.readFile ./cluster.json);

  # The same on every host.
  module.services.photoncloud = {
    cluster = { inherit (declared) name underlay roles nodes; };
  } // import ./tenants.nix;
in
declared // {
  inherit module;

  # A NixOS module for each node.
  hosts = builtins.mapAttrs
    (name: _: {
      imports = [ ../modules module ];
      networking.hostName = name;
      services.photoncloud.node = name;
    })
    declared.nodes;

  # The declared state as one value: nodes, roles and the documents of `photon apply`. Shows all problems at once.
  state = lib:
    let
      inherit (lib.evalModules { modules = [ ../modules/tenants.nix ../modules/cluster.nix module ]; }) config;
      inherit (config.services.photoncloud) cluster documents problems;
    in
    if problems != [ ] then throw "\nFailed assertions:\n- ${builtins.concatStringsSep "\n- " problems}"
    else { inherit (cluster) name underlay roles nodes; inherit documents; };
}
