# What a declaration of nix/modules/tenants.nix becomes, for tests: its documents and its problems.
{ lib }:
declaration:
let
  inherit (lib.evalModules {
    modules = [ ../modules/tenants.nix ../modules/cluster.nix { services.photoncloud = declaration; } ];
  }) config;
in
{ inherit (config.services.photoncloud) documents problems; }
