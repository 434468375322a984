{
  description = "photoncloud: a private cloud whose control plane is an actor system";

  # No flake.lock is shipped: it must be made where nixpkgs can be reached (nix flake lock).
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      # Guests are x86_64, and QEMU is asked for nothing else.
      system = "x86_64-linux";
      pkgs = nixpkgs.legacyPackages.${system};
      photoncloud = pkgs.callPackage ./nix/package.nix { };
    in
    {
      packages.${system} = {
        inherit photoncloud;
        default = photoncloud;
      };
      apps.${system}.default = {
        type = "app";
        program = "${photoncloud}/bin/photon";
      };
      devShells.${system}.default = import ./nix/shell.nix { inherit pkgs; };
      nixosModules.default = { pkgs, lib, ... }: {
        imports = [ ./nix/modules/photoncloud.nix ];
        services.photoncloud.package = lib.mkDefault (pkgs.callPackage ./nix/package.nix { });
      };
    };
}
