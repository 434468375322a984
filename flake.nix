{
  description = "photoncloud: a private cloud whose control plane is an actor system";

  # No flake.lock is shipped: it must be made where nixpkgs can be reached (nix flake lock).
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      # Guests are x86_64, and QEMU is asked for nothing else.
      system = "x86_64-linux";
      inherit (nixpkgs) lib;
      pkgs = nixpkgs.legacyPackages.${system};
      photoncloud = pkgs.callPackage ./nix/package.nix { };
      cluster = import ./nix/cluster;
      clusterProgram = import ./nix/test-cluster/program.nix { inherit pkgs; };
      appOf = program: { type = "app"; inherit program; };
      photonApp = appOf "${photoncloud}/bin/photon";
    in
    {
      packages.${system} = {
        inherit photoncloud;
        default = photoncloud;
        cluster = clusterProgram;
      };
      apps.${system} = {
        default = photonApp;
        photon = photonApp;
        cluster = appOf "${clusterProgram}/bin/cluster";
      };
      devShells.${system}.default = import ./nix/shell.nix { inherit pkgs; };
      formatter.${system} = pkgs.nixfmt-tree;

      # Every unit has an enable of its own; importing the module changes nothing.
      nixosModules.default = { imports = [ ./nix/modules ]; };
      # The nodes of the declared cluster: nix build .#nixosConfigurations.node01.config.system.build.toplevel
      nixosConfigurations = builtins.mapAttrs
        (_: host: lib.nixosSystem { inherit system; modules = [ host ./nix/cluster/machine.nix ]; })
        cluster.hosts;

      checks.${system} = {
        inherit photoncloud;
        # What nix/source-roots.json puts into the package is enough for every module of it.
        source-roots = pkgs.runCommand "source-roots" { } ''
          test -z "$(find ${photoncloud} -xtype l)"
          ${pkgs.nodejs_24}/bin/node ${./cluster-tests/nix/import-modules-main.ts} \
            ${photoncloud}/share/photoncloud "$TMPDIR"
          touch $out
        '';
        # The declaration has no problem.
        cluster-state = pkgs.writeText "cluster-state.json" (builtins.toJSON (cluster.state lib));
        deployer-vm-smoke = import ./nix/tests/deployer-vm-smoke.nix { inherit pkgs; };
      };

      # Nodes, roles and what tenants have, as one value: nix eval --json .#clusterState
      clusterState = cluster.state lib;
      lib = {
        addresses = import ./nix/addresses.nix;
        sources.photoncloud = import ./nix/sources.nix "photoncloud";
      };
    };
}
