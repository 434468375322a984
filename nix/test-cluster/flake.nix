{
  description = "the six-node cluster of photoncloud on one machine: nix run ./nix/test-cluster#cluster -- fresh-smoke";

  # No flake.lock is shipped: it must be made where nixpkgs can be reached (nix flake lock).
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  # In a checkout with git this folder is a part of the whole tree, so it may read what is above it.
  outputs = { self, nixpkgs }:
    let
      system = "x86_64-linux";
      cluster = import ./program.nix { pkgs = nixpkgs.legacyPackages.${system}; };
      app = { type = "app"; program = "${cluster}/bin/cluster"; };
    in
    {
      packages.${system} = { inherit cluster; default = cluster; };
      apps.${system} = { cluster = app; default = app; };
      clusterState = (import ../cluster).state nixpkgs.lib;
    };
}
